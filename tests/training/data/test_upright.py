"""Pieces of an image are pieces of the whole, and threads share one number of pixels."""

from __future__ import annotations

import io
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

import training.data.upright
from training.data.decode import open_image
from training.data.upright import UprightImage, decoded


def _saved(image: Image.Image, kind: str, orientation: int = 1) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    buffer = io.BytesIO()
    image.save(buffer, kind, exif=exif)
    return buffer.getvalue()


def _image(mode: str) -> Image.Image:
    rng = np.random.default_rng(0)
    if mode in ("RGB", "RGBA", "L", "LA"):
        channels = len(mode)
        pixels = rng.integers(256, size=(37, 53, channels), dtype=np.uint8)
        return (
            Image.fromarray(pixels.squeeze(), mode=mode)
            if mode == "L"
            else Image.merge(mode, [Image.fromarray(pixels[..., c]) for c in range(channels)])
        )
    if mode == "P":
        return _image("RGB").quantize(16)
    kinds = {"I;16": np.uint16, "I": np.int32, "F": np.float32}
    return Image.fromarray((rng.normal(size=(37, 53)) * 9000 + 30_000).astype(kinds[mode]))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(
    ("mode", "kind"),
    [("RGB", "PNG"), ("RGBA", "PNG"), ("LA", "PNG"), ("P", "PNG"), ("I;16", "PNG"), ("I", "TIFF"),
     ("F", "TIFF"), ("RGB", "JPEG")],
)  # fmt: skip
def test_pieces_of_any_image_are_pieces_of_the_whole(
    mode: str, kind: str, orientation: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = _saved(_image(mode), kind, orientation)
    with decoded(open_image(content)) as picture:
        assert picture.size == ((37, 53) if orientation >= 5 else (53, 37))
        whole = np.asarray(picture.piece((0, 0, *picture.size)))
    assert whole.shape == (*picture.size[::-1], 3)
    monkeypatch.setattr(training.data.upright, "_BAND", 97)
    with decoded(open_image(content)) as picture:
        assert np.array_equal(np.asarray(picture.piece((0, 0, *picture.size))), whole)
        left, top, right, bottom = 3, 5, 30, 26
        part = np.asarray(picture.piece((left, top, right, bottom)))
        assert np.array_equal(part, whole[top:bottom, left:right])
        bands = list(picture.bands(2))
    assert [top for top, _ in bands[:2]] == [0, 2]
    assert np.array_equal(np.concatenate([np.asarray(band) for _, band in bands]), whole)


def test_threads_together_hold_no_more_than_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Eight threads, and room for three images at a time."""
    monkeypatch.setattr(training.data.upright, "_PER_CORE", 1)
    monkeypatch.setattr(training.data.upright, "max_pixels", lambda: 350)
    lock, held, most = threading.Lock(), 0, 0
    together = threading.Barrier(3, timeout=20)

    def work(_: int) -> None:
        nonlocal held, most
        with decoded(Image.new("L", (10, 10))) as picture:
            with lock:
                held += 1
                most = max(most, held)
            assert isinstance(picture, UprightImage)
            together.wait()
            with lock:
                held -= 1

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(12)))
    assert most == 3


def test_an_image_beyond_the_limit_is_decoded_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training.data.upright, "_PER_CORE", 1)
    monkeypatch.setattr(training.data.upright, "max_pixels", lambda: 10)
    with decoded(Image.new("L", (10, 10))) as picture:
        assert picture.size == (10, 10)
