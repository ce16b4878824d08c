"""From an image of any size to the square RGB array that is stored.

Large images are scaled down band by band. The pixels are those of Pillow's ``resize`` of the whole image:
it reduces by whole numbers first, then resizes along the rows, then along the columns, and each step
but the last can be done for a few rows at a time.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from PIL import Image

from training.data.decode import broken_images
from training.data.upright import UprightImage, decoded

Fit = Literal["squash", "crop", "pad"]
FITS: tuple[Fit, ...] = ("squash", "crop", "pad")
GREY = (128, 128, 128)
_BICUBIC = Image.Resampling.BICUBIC
_REDUCING_GAP = 3.0  # image is reduced by a whole number to this multiple of the target or more

_Edges = tuple[float, float, float, float]


def square(image: Image.Image, size: int, fit: Fit) -> np.ndarray:
    """Decode, turn upright and fit to ``size`` pixels: (size, size, 3) uint8.

    ``squash`` ignores the aspect ratio, ``crop`` keeps the centre, ``pad`` adds mid-grey bars.

    Raises:
        BrokenImageError: truncated or otherwise undecodable.
    """
    pixels = image.width * image.height
    if image.format in ("JPEG", "MPO"):
        # JPEG scales by 2, 4 or 8 while decoding, at a fraction of the cost; twice the target
        # is left for the antialiased filter.
        with broken_images():
            image.draft(None, (2 * size, 2 * size))
        if not image.info.get("progressive"):  # such a file is decoded whole before it is scaled
            pixels = image.width * image.height
    with decoded(image, pixels=pixels) as picture:
        return np.asarray(_fitted(picture, size, fit))


def _fitted(picture: UprightImage, size: int, fit: Fit) -> Image.Image:
    width, height = picture.size
    whole = (0.0, 0.0, float(width), float(height))
    if fit == "crop":
        side = float(min(width, height))
        left, top = (width - side) * 0.5, (height - side) * 0.5
        return _resized(picture, (size, size), (left, top, left + side, top + side), gap=None)
    if fit == "squash":
        return _resized(picture, (size, size), whole, gap=_REDUCING_GAP)
    scale = size / max(width, height)
    shape = (max(1, round(width * scale)), max(1, round(height * scale)))
    canvas = Image.new("RGB", (size, size), GREY)
    small = _resized(picture, shape, whole, gap=_REDUCING_GAP)
    canvas.paste(small, ((size - shape[0]) // 2, (size - shape[1]) // 2))
    return canvas


def _resized(
    picture: UprightImage, size: tuple[int, int], edges: _Edges, *, gap: float | None
) -> Image.Image:
    """Return ``resize(size, BICUBIC, box=edges, reducing_gap=gap)`` of the picture."""
    left, top, right, bottom = edges
    across, down = 1, 1
    if gap is not None:
        across = int((right - left) / size[0] / gap) or 1
        down = int((bottom - top) / size[1] / gap) or 1
    tall = Image.new("RGB", (size[0], -(-picture.size[1] // down)))
    for start, band in picture.bands(down):
        small = band if across == down == 1 else band.reduce((across, down))
        narrow = small.resize(
            (size[0], small.height), _BICUBIC, box=(left / across, 0, right / across, small.height)
        )
        tall.paste(narrow, (0, start // down))
    return tall.resize(size, _BICUBIC, box=(0, top / down, size[0], bottom / down))
