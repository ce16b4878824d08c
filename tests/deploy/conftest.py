"""A tiny network whose logits differ from image to image, saved, and real image files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from nas.architecture import Architecture, classifier
from nas.layers import Conv, InvertedResidualv2, InvertedResidualv3
from nas.networks import build
from training.bundle import save_bundle

CLASSES = ("glass", "métal", "paper")
NORMALIZATION = {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}
CONFIG = {"normalization": NORMALIZATION, "data": {"size": 40, "fit": "squash"}}


@pytest.fixture
def tiny() -> Architecture:
    """A conv, a residual and a squeeze-excite block: every kind of layer the exporter meets."""
    return classifier(
        32,
        (
            Conv(8, 3, 2, activation="Hardswish"),
            InvertedResidualv2(8, 2.0, 1),
            InvertedResidualv3(5, 3.0, 16, True, True, 2),
        ),
    )


@pytest.fixture
def lively() -> Callable[[Architecture, int], nn.Module]:
    """Factory of networks with random batch-norm statistics: a wrong folding shows in the logits."""
    return _lively


def _lively(architecture: Architecture, num_classes: int) -> nn.Module:
    torch.manual_seed(0)
    model = build(architecture, num_classes)
    generator = torch.Generator().manual_seed(0)
    for part in model.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.running_mean.normal_(0.0, 0.3, generator=generator)
            part.running_var.uniform_(0.5, 2.0, generator=generator)
            nn.init.uniform_(part.weight, 0.5, 1.5, generator=generator)
            nn.init.normal_(part.bias, 0.0, 0.3, generator=generator)
        elif isinstance(part, nn.Linear):
            nn.init.normal_(part.weight, 0.0, 10.0, generator=generator)
    return model.eval()


@pytest.fixture
def network(tiny: Architecture) -> nn.Module:
    return _lively(tiny, len(CLASSES))


@pytest.fixture
def bundle_dir(tmp_path: Path, tiny: Architecture, network: nn.Module) -> Path:
    path = tmp_path / "run" / "student"
    save_bundle(path, network, tiny, CLASSES, config=CONFIG, metrics={"params": 1})
    return path


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Class folders of JPEG and PNG files of several sizes, some turned, grey or with a palette."""
    root = tmp_path / "photos"
    rng = np.random.default_rng(0)
    for index in range(12):
        folder = root / CLASSES[index % 3]
        folder.mkdir(parents=True, exist_ok=True)
        height, width = (int(side) for side in rng.integers(50, 220, 2))
        coarse = rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)
        image = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
        if index % 4 == 1:
            image = image.convert("L")
        if index % 4 == 2:
            image.convert("P").save(folder / f"{index:02}.png")
            continue
        exif = Image.Exif()
        exif[0x0112] = 6 if index % 4 == 3 else 1
        image.save(folder / f"{index:02}.jpg", exif=exif, quality=90)
    return root
