"""Image files: which are read, how large they may be, and the reason why one cannot be.

Only regular files of a bounded size are opened, and only images of a bounded number of pixels are
decoded: a file of a few kilobytes can hold an image of gigabytes.
"""

from __future__ import annotations

import contextlib
import io
import math
import os
import stat
import warnings
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from PIL import ExifTags, Image

from core.errors import UserError, one_line
from core.reading import open_checked

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
#: Number, in millions, of the most pixels that an image may have; 50 where it is not set.
LIMIT_VARIABLE = "MINNOW_MAX_MEGAPIXELS"
USUAL_PIXELS = 50_000_000
_MOST_MEGAPIXELS = 100_000.0
_PIXEL_BYTES = 8  # of the deepest images, uncompressed: four channels of 16 bits
_OTHER_BYTES = 64 << 20  # of a file beside its pixels
_IN_MEMORY = 32 << 20  # bytes; larger files are read piece by piece
_SPECIAL = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)
TURNS = {
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


class SpecialFileError(OSError):
    """A file that is not opened: no regular one, or too large."""


@contextlib.contextmanager
def quiet_pillow() -> Iterator[None]:
    """Silence Pillow's warnings about odd metadata in files it can read: they name no file."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"PIL\.")
        yield


@contextlib.contextmanager
def broken_images() -> Iterator[None]:
    """Turn what Pillow raises about a malformed file, which can be anything, into one error.

    Raises:
        BrokenImageError: with the reason.
    """
    try:
        yield
    except Exception as error:
        raise BrokenImageError(_reason(error)) from error


def max_pixels() -> int:
    """Return the most pixels that an image may have.

    Raises:
        UserError: :data:`LIMIT_VARIABLE` is no number of megapixels.
    """
    text = os.environ.get(LIMIT_VARIABLE, "").strip()
    try:
        megapixels = float(text or USUAL_PIXELS / 1e6)
    except ValueError:
        megapixels = math.nan
    if not 0 < megapixels <= _MOST_MEGAPIXELS:  # NaN neither
        raise UserError(
            f"{LIMIT_VARIABLE} is {text[:40]!r}: give the most megapixels of an image, above 0 and up to "
            f"{_MOST_MEGAPIXELS:,.0f}"
        )
    return max(1, int(megapixels * 1e6))


def special_kind(mode: int) -> str | None:
    """Return the kind of a file that is no regular one, from ``st_mode``; ``None``: it is one."""
    if stat.S_ISREG(mode):
        return None
    return next((name for test, name in _SPECIAL if test(mode)), "a special file")


@contextlib.contextmanager
def open_file(path: Path) -> Iterator[io.BufferedReader]:
    """Open an image file; a pipe or a device, whose reading may never end, is not opened.

    Raises:
        SpecialFileError: no regular file, or larger than any image within the limit.
        OSError: missing, or not readable.
    """
    with open_checked(path, lambda status: _check_file(path, status)) as file:
        yield file


def _check_file(path: Path, status: os.stat_result) -> None:
    if kind := special_kind(status.st_mode):
        raise SpecialFileError(None, f"{kind}, not a file", str(path))
    largest = _PIXEL_BYTES * max_pixels() + _OTHER_BYTES
    if status.st_size > largest:
        reason = f"larger than {largest / 1e6:,.0f} MB; {LIMIT_VARIABLE} raises this limit too"
        raise SpecialFileError(None, reason, str(path))


def file_content(path: Path) -> bytes | Path:
    """Return the bytes of an image file; of a large one its path, from which Pillow reads what it needs.

    Raises:
        OSError: see :func:`open_file`.
    """
    with open_file(path) as file:
        return path if os.fstat(file.fileno()).st_size > _IN_MEMORY else file.read()


def open_image(content: bytes | Path) -> Image.Image:
    """Read the header of an image; the pixels follow when they are needed.

    Args:
        content: see :func:`file_content`.

    Raises:
        BrokenImageError: not an image, or one of more than :func:`max_pixels`.
    """
    if isinstance(content, bytes) and not content:
        raise BrokenImageError("empty file")
    most = max_pixels()
    if Image.MAX_IMAGE_PIXELS is not None and most > Image.MAX_IMAGE_PIXELS:
        Image.MAX_IMAGE_PIXELS = most  # Pillow's own limit, which the user has raised with ours
    with broken_images():
        image = Image.open(
            io.BytesIO(content) if isinstance(content, bytes) else content, formats=_formats()
        )
    if image.width * image.height > most:
        image.close()
        raise BrokenImageError(_too_large(f"{image.width} x {image.height} px, more than"))
    return image


def open_image_file(path: Path) -> Image.Image:
    """Read the header of an image file.

    Raises:
        BrokenImageError: see :func:`open_image` and :func:`open_file`.
    """
    try:
        return open_image(file_content(path))
    except OSError as error:
        raise BrokenImageError(unreadable(error)) from error


def unreadable(error: OSError) -> str:
    """Return why a file cannot be read, in a few words."""
    return f"cannot be read: {error.strerror or error}"


def orientation(image: Image.Image) -> int:
    """Return EXIF's orientation, 1 to 8; 1 where there is none.

    Pillow turns a TIFF when it loads it: afterwards there is nothing left to turn, and this is 1.
    """
    try:
        turn = int(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # a damaged EXIF block does not spoil the picture
        return 1
    return turn if turn in TURNS else 1


@lru_cache(maxsize=1)
def _formats() -> tuple[str, ...]:
    Image.init()
    return tuple(name for name in _FORMATS if name in Image.OPEN)  # a build may lack some


def _too_large(size: str) -> str:
    millions = f"{max_pixels() / 1e6:,.6g} million pixels"
    return (
        f"{size} {millions} (refused: it may be a decompression bomb; {LIMIT_VARIABLE} raises the limit)"
    )


def _reason(error: Exception) -> str:
    if isinstance(error, Image.DecompressionBombError):
        return _too_large("more than")
    if isinstance(error, Image.UnidentifiedImageError):
        return "not an image that can be read"
    return one_line(error)
