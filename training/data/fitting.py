"""From an image of any size to the square RGB array that is stored.

An image is reduced by a whole number first, band by band, and then resized. The pixels are those of
Pillow's ``resize`` of the whole image with a ``reducing_gap``, without the memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import numpy as np
from PIL import Image

from training.data.decode import broken_images
from training.data.upright import UprightImage, decoded

Fit = Literal["squash", "crop", "pad"]
FITS: tuple[Fit, ...] = ("squash", "crop", "pad")
GREY = (128, 128, 128)
_BICUBIC = Image.Resampling.BICUBIC
_REDUCING_GAP = 3.0  # reduced images have at least this multiple of the target's sides
_LARGE = 16_000_000  # pixels above which an image is reduced even where its centre is cut out

_Edges = tuple[float, float, float, float]


def square(image: Image.Image, size: int, fit: Fit) -> np.ndarray:
    """Decode, turn upright and fit to ``size`` pixels: (size, size, 3) uint8.

    ``squash`` ignores the aspect ratio, ``crop`` keeps the centre, ``pad`` adds mid-grey bars.

    Raises:
        BrokenImageError: truncated or otherwise undecodable.
    """
    with _shrunk(image, size) as picture:
        return np.asarray(fitted(picture, size, fit))


def thumbnail(image: Image.Image, side: int) -> Image.Image:
    """Decode, turn upright and shrink until the longer side has ``side`` pixels at most.

    Raises:
        BrokenImageError: truncated or otherwise undecodable.
    """
    with _shrunk(image, side) as picture:
        width, height = picture.size
        shape = _within(picture, min(side, max(width, height)))
        return _resized(picture, shape, (0.0, 0.0, float(width), float(height)), reduce=True)


@contextmanager
def _shrunk(image: Image.Image, size: int) -> Iterator[UprightImage]:
    """Decode an image, a JPEG not larger than ``size`` pixels need it."""
    pixels = image.width * image.height
    if image.format in ("JPEG", "MPO"):
        # JPEG scales by 2, 4 or 8 while decoding, at a fraction of the cost; twice the target
        # is left for the antialiased filter.
        with broken_images():
            image.draft(None, (2 * size, 2 * size))
        if not image.info.get("progressive"):  # such a file is decoded whole before it is scaled
            pixels = image.width * image.height
    with decoded(image, pixels=pixels) as picture:
        yield picture


def fitted(picture: UprightImage, size: int, fit: Fit) -> Image.Image:
    """Return a decoded image at ``size`` x ``size`` pixels, see :func:`square`."""
    width, height = picture.size
    whole = (0.0, 0.0, float(width), float(height))
    if fit == "crop":
        side = float(min(width, height))
        left, top = (width - side) * 0.5, (height - side) * 0.5
        edges = (left, top, left + side, top + side)
        return _resized(picture, (size, size), edges, reduce=width * height > _LARGE)
    if fit == "squash":
        return _resized(picture, (size, size), whole, reduce=True)
    shape = _within(picture, size)
    canvas = Image.new("RGB", (size, size), GREY)
    small = _resized(picture, shape, whole, reduce=True)
    canvas.paste(small, ((size - shape[0]) // 2, (size - shape[1]) // 2))
    return canvas


def _within(picture: UprightImage, side: int) -> tuple[int, int]:
    """Return width and height of a picture whose longer side has ``side`` pixels."""
    width, height = picture.size
    scale = side / max(width, height)
    return max(1, round(width * scale)), max(1, round(height * scale))


def _resized(picture: UprightImage, size: tuple[int, int], edges: _Edges, *, reduce: bool) -> Image.Image:
    """Return ``resize(size, BICUBIC, box=edges)`` of the picture, reduced by a whole number before."""
    left, top, right, bottom = edges
    across, down = 1, 1
    if reduce:
        across = int((right - left) / size[0] / _REDUCING_GAP) or 1
        down = int((bottom - top) / size[1] / _REDUCING_GAP) or 1
    width, height = picture.size
    small = Image.new("RGB", (-(-width // across), -(-height // down)))
    for start, band in picture.bands(down):
        small.paste(band if across == down == 1 else band.reduce((across, down)), (0, start // down))
    return small.resize(size, _BICUBIC, box=(left / across, top / down, right / across, bottom / down))
