"""A saved model and real image files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from shipping import CLASSES, CONFIG, lively, tiny_architecture
from torch import nn

from nas.networks import build
from training.bundle import save_bundle


@pytest.fixture
def network() -> nn.Module:
    torch.manual_seed(0)
    return lively(build(tiny_architecture(), len(CLASSES)))


@pytest.fixture
def bundle_dir(tmp_path: Path, network: nn.Module) -> Path:
    path = tmp_path / "run" / "student"
    save_bundle(path, network, tiny_architecture(), CLASSES, config=CONFIG, metrics={"params": 1})
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
