"""Image folders written for a test, and a cache directory of its own for every test."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

SHARED = Path(__file__).parents[3] / "shared" / "data"


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """``$MINNOW_CACHE`` is an empty directory."""
    path = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("MINNOW_CACHE", str(path))
    return path


@pytest.fixture
def write_images() -> Callable[..., Path]:
    """Write ``{folder: count}`` random PNG files, all different, below a root."""

    def write(root: Path, counts: Mapping[str, int], size: tuple[int, int] = (40, 32)) -> Path:
        rng = np.random.default_rng(0)
        for folder, count in counts.items():
            (root / folder).mkdir(parents=True, exist_ok=True)
            for index in range(count):
                noise = rng.integers(256, size=(size[1], size[0], 3), dtype=np.uint8)
                Image.fromarray(noise).save(root / folder / f"{index:03d}.png")
        return root

    return write


@pytest.fixture(scope="session")
def trashnet() -> Path:
    """2,016 photographs of waste in six classes."""
    return _shared("trashnet")


@pytest.fixture(scope="session")
def cifar10_small() -> Path:
    """7,000 images of CIFAR-10 in train/, val/ and test/."""
    return _shared("cifar10-small")


def _shared(name: str) -> Path:
    if not (SHARED / name).is_dir():
        pytest.skip(f"the data set {SHARED / name} is not on this machine")
    return SHARED / name


@pytest.fixture(scope="session")
def taco() -> Path:
    """TACO's annotation file: 1,500 photos, which are not there, and 4,784 boxes."""
    return _shared("taco") / "annotations.json"
