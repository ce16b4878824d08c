"""Scaling in bands gives the pixels of Pillow's own scaling, in little memory."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

import training.data.upright
from training.data.fitting import Fit, square

ROOT = Path(__file__).parents[3]
_MEMORY = """
import sys
from pathlib import Path
from training.data.decode import open_image_file
from training.data.fitting import square

def peak():
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM"))

before = peak()
square(open_image_file(Path(sys.argv[1])), 96, sys.argv[2])
print((peak() - before) // 1024)
"""


def _noise(width: int, height: int, mode: str = "RGB") -> Image.Image:
    rng = np.random.default_rng(width + height)
    channels = {"RGB": (3,), "RGBA": (4,), "L": ()}[mode]
    return Image.fromarray(rng.integers(256, size=(height, width, *channels), dtype=np.uint8))


def _by_pillow(image: Image.Image, size: int, fit: Fit) -> Image.Image:
    bicubic = Image.Resampling.BICUBIC
    if fit == "crop":
        return ImageOps.fit(image, (size, size), bicubic)
    if fit == "squash":
        return image.resize((size, size), bicubic, reducing_gap=3.0)
    scale = size / max(image.size)
    shape = tuple(max(1, round(side * scale)) for side in image.size)
    canvas = Image.new("RGB", (size, size), (128, 128, 128))
    small = image.resize(shape, bicubic, reducing_gap=3.0)
    canvas.paste(small, ((size - shape[0]) // 2, (size - shape[1]) // 2))
    return canvas


@pytest.mark.parametrize("fit", ["squash", "crop", "pad"])
@pytest.mark.parametrize(
    ("width", "height", "size"),
    [(640, 480, 32), (481, 1013, 32), (97, 900, 24), (900, 97, 24), (200, 100, 160), (7, 5, 32)],
)
def test_bands_give_the_pixels_of_the_whole(
    width: int, height: int, size: int, fit: Fit, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = _noise(width, height)
    expected = np.asarray(_by_pillow(image, size, fit))
    assert np.array_equal(square(image.copy(), size, fit), expected)
    for band in (1, 5_000, 20_011):
        monkeypatch.setattr(training.data.upright, "_BAND", band)
        assert np.array_equal(square(image.copy(), size, fit), expected)


def test_the_centre_of_a_large_image_is_reduced_first(monkeypatch: pytest.MonkeyPatch) -> None:
    image = Image.linear_gradient("L").resize((1500, 900)).convert("RGB")
    exact = square(image.copy(), 32, "crop").astype(int)
    monkeypatch.setattr("training.data.fitting._LARGE", 1_000_000)
    assert 0 < np.abs(square(image.copy(), 32, "crop") - exact).max() <= 2


@pytest.mark.parametrize("fit", ["squash", "crop", "pad"])
def test_a_large_image_is_never_held_twice(tmp_path: Path, fit: Fit) -> None:
    """16 bits of 3,000 x 3,000 px are 18 MB; four arrays of doubles would be 288."""
    Image.new("I;16", (3000, 3000), 9999).save(tmp_path / "deep.png")
    assert _megabytes(tmp_path / "deep.png", fit) < 120


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["I;16", "RGBA"])
def test_the_largest_images_need_little_memory(tmp_path: Path, mode: str) -> None:
    Image.new(mode, (7000, 7000)).save(tmp_path / "large.png")
    assert _megabytes(tmp_path / "large.png", "squash") < 300


def _megabytes(path: Path, fit: str) -> int:
    if not Path("/proc/self/status").exists():
        pytest.skip("the peak of a process's memory is not known here")
    command = [sys.executable, "-c", _MEMORY, str(path), fit]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return int(done.stdout)


def test_a_large_jpeg_is_decoded_at_a_reduced_scale(monkeypatch: pytest.MonkeyPatch) -> None:
    buffer = io.BytesIO()
    Image.linear_gradient("L").resize((1600, 1600)).save(buffer, "JPEG")
    image = Image.open(buffer)
    found = square(image, 64, "squash")
    assert image.size == (200, 200)
    assert np.abs(found[:, 32, 0].astype(int) - np.linspace(2, 253, 64)).max() < 4
