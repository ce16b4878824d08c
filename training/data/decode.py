"""From an image file of any kind to the square RGB array that a person would recognise.

Reading is Pillow's work. This module decides what Pillow leaves open: orientation, transparency
(on white), 16-bit and floating-point greys (scaled, never clipped), and the fit to a square.
"""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import ExifTags, Image, ImageOps

from core.errors import one_line

Fit = Literal["squash", "crop", "pad"]
FITS: tuple[Fit, ...] = ("squash", "crop", "pad")

EXTENSIONS = frozenset(
    {
        ".jpg",
        ".jpeg",
        ".jpe",
        ".jfif",
        ".png",
        ".bmp",
        ".dib",
        ".gif",
        ".webp",
        ".tif",
        ".tiff",
        ".ppm",
        ".pgm",
        ".pbm",
        ".pnm",
        ".tga",
        ".jp2",
        ".j2k",
        ".avif",
        ".mpo",
    }
)
# Named formats only: Pillow would hand a renamed PostScript file to Ghostscript.
_FORMATS = (
    "JPEG",
    "PNG",
    "BMP",
    "DIB",
    "GIF",
    "WEBP",
    "TIFF",
    "PPM",
    "TGA",
    "JPEG2000",
    "AVIF",
)
GREY = (128, 128, 128)
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class BrokenImageError(Exception):
    """A file that is no readable image; the message is the reason, in a few words."""


@contextlib.contextmanager
def quiet_pillow() -> Iterator[None]:
    """Silence Pillow's warnings about odd metadata in files it can read: they name no file."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"PIL\.")
        yield


def open_image(content: bytes | Path) -> Image.Image:
    """Read the header of an image; the pixels follow when they are needed.

    Raises:
        BrokenImageError: not an image, or one so large that it looks like a decompression bomb.
    """
    if isinstance(content, bytes) and not content:
        raise BrokenImageError("empty file")
    source = io.BytesIO(content) if isinstance(content, bytes) else content
    try:
        return Image.open(source, formats=_formats())
    except Exception as error:  # a malformed file can raise anything from Pillow's readers
        raise BrokenImageError(_reason(error)) from error


def square(image: Image.Image, size: int, fit: Fit) -> np.ndarray:
    """Decode, turn upright and fit to ``size`` pixels: (size, size, 3) uint8.

    ``squash`` ignores the aspect ratio, ``crop`` keeps the centre, ``pad`` adds mid-grey bars.

    Raises:
        BrokenImageError: truncated or otherwise undecodable.
    """
    try:
        if image.format in ("JPEG", "MPO"):
            # JPEG scales by 2, 4 or 8 while decoding, at a fraction of the cost; twice the target
            # is left for the antialiased filter.
            image.draft(None, (2 * size, 2 * size))
        return np.asarray(_fitted(_rgb(image), size, fit))
    except Exception as error:  # as in open_image
        raise BrokenImageError(_reason(error)) from error


def upright(image: Image.Image) -> Image.Image:
    """Decode to RGB at full resolution, turned upright.

    Raises:
        BrokenImageError: truncated or otherwise undecodable.
    """
    try:
        return _rgb(image)
    except Exception as error:  # as in open_image
        raise BrokenImageError(_reason(error)) from error


def orientation(image: Image.Image) -> int:
    """Return EXIF's orientation, 1 to 8; 1 where there is none.

    Pillow turns a TIFF when it loads it: afterwards there is nothing left to turn, and this is 1.
    """
    try:
        turn = int(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # a damaged EXIF block does not spoil the picture
        return 1
    return turn if turn in _TURNS else 1


@lru_cache(maxsize=1)
def _formats() -> tuple[str, ...]:
    Image.init()
    return tuple(name for name in _FORMATS if name in Image.OPEN)  # a build may lack some


def _rgb(image: Image.Image) -> Image.Image:
    image.load()
    turn = _TURNS.get(orientation(image))  # after load(), which turns a TIFF by itself
    if image.mode.startswith("I") or image.mode == "F":
        image = Image.fromarray(_to_8_bits(np.asarray(image), image.mode))
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer)
    rgb = image.convert("RGB")
    return rgb if turn is None else rgb.transpose(turn)


def _to_8_bits(grey: np.ndarray, mode: str) -> np.ndarray:
    """Scale deep greys to 0..255 by the full range of their kind; stretch what fits none."""
    values = np.nan_to_num(grey.astype(np.float64), posinf=0.0, neginf=0.0)
    low, high = float(values.min()), float(values.max())
    whites = (1.0, 255.0, 65535.0) if mode == "F" else (65535.0,)
    white = next((w for w in whites if low >= 0 and high <= w), None)
    if white is None:
        values, white = values - low, (high - low) or 1.0
    return np.rint(values * (255.0 / white)).astype(np.uint8)


def _fitted(image: Image.Image, size: int, fit: Fit) -> Image.Image:
    bicubic = Image.Resampling.BICUBIC
    if fit == "crop":
        return ImageOps.fit(image, (size, size), bicubic)
    if fit == "squash":
        return image.resize((size, size), bicubic, reducing_gap=3.0)
    scale = size / max(image.size)
    width, height = (max(1, round(side * scale)) for side in image.size)
    canvas = Image.new("RGB", (size, size), GREY)
    small = image.resize((width, height), bicubic, reducing_gap=3.0)
    canvas.paste(small, ((size - width) // 2, (size - height) // 2))
    return canvas


def _reason(error: Exception) -> str:
    if isinstance(error, Image.DecompressionBombError):
        limit = 2 * (Image.MAX_IMAGE_PIXELS or 0) / 1e6
        return f"more than {limit:.0f} million pixels (refused: it may be a decompression bomb)"
    if isinstance(error, Image.UnidentifiedImageError):
        return "not an image that can be read"
    return one_line(error)
