"""A decoded image as a person sees it: RGB, upright, on white, deep greys scaled, never clipped.

It is converted piece by piece, and all threads together hold a bounded number of decoded pixels, so
that large images need little memory.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from PIL import Image

from core.runtime import cpu_count
from training.data.decode import TURNS, broken_images, max_pixels, orientation

_BAND = 1 << 20  # pixels that are converted at a time
_PER_CORE = 16_000_000  # decoded pixels in memory at a time, for each core
# Memory that their decoders take, in multiples of four bytes a pixel (measured at 49 megapixels).
_COSTS = {"AVIF": 3, "WEBP": 4, "JPEG2000": 6}
_WHITES = (1.0, 255.0, 65535.0)

#: Edges of a rectangle in pixels: left, top, right, bottom.
Edges = tuple[int, int, int, int]


class UprightImage:
    """RGB pieces of a decoded image, turned upright; :func:`decoded` makes one.

    Args:
        image: decoded here.

    Attributes:
        size: (width, height) once it is turned.

    Raises:
        BrokenImageError: truncated or otherwise undecodable.
    """

    def __init__(self, image: Image.Image) -> None:
        with broken_images():
            image.load()
            self._image = image
            self._orientation = orientation(image)  # after load(), which turns a TIFF by itself
            self._range = _range_of(image)
        self.size: tuple[int, int] = image.size[::-1] if self._orientation >= 5 else image.size

    def piece(self, edges: Edges) -> Image.Image:
        """Return a rectangle of the upright image.

        Raises:
            BrokenImageError: its pixels cannot be converted to RGB.
        """
        left, top, right, bottom = edges
        if (right - left) * (bottom - top) <= _BAND:
            return self._converted(edges)
        canvas = Image.new("RGB", (right - left, bottom - top))
        for start, end in _rows(right - left, bottom - top):
            canvas.paste(self._converted((left, top + start, right, top + end)), (0, start))
        return canvas

    def bands(self, multiple: int = 1) -> Iterator[tuple[int, Image.Image]]:
        """Yield (top, band) from top to bottom: the image cut into whole rows.

        Args:
            multiple: number of rows in a band is a multiple of this one, but in the last.

        Raises:
            BrokenImageError: its pixels cannot be converted to RGB.
        """
        width, height = self.size
        for top, bottom in _rows(width, height, multiple):
            yield top, self._converted((0, top, width, bottom))

    def _converted(self, edges: Edges) -> Image.Image:
        with broken_images():
            whole = edges == (0, 0, *self.size)
            rgb = self._rgb(self._image if whole else self._image.crop(self._stored(edges)))
            turn = TURNS.get(self._orientation)
            return rgb if turn is None else rgb.transpose(turn)

    def _stored(self, edges: Edges) -> Edges:
        """Return where the stored image has a rectangle of the upright one."""
        left, top, right, bottom = edges
        width, height = self._image.size
        places: dict[int, Edges] = {
            2: (width - right, top, width - left, bottom),
            3: (width - right, height - bottom, width - left, height - top),
            4: (left, height - bottom, right, height - top),
            5: (top, left, bottom, right),
            6: (top, height - right, bottom, height - left),
            7: (width - bottom, height - right, width - top, height - left),
            8: (width - bottom, left, width - top, right),
        }
        return places.get(self._orientation, edges)

    def _rgb(self, image: Image.Image) -> Image.Image:
        if self._range is not None:
            low, high = self._range
            levels = np.rint((_finite(image) - low) * (255.0 / (high - low))).astype(np.uint8)
            return Image.fromarray(levels).convert("RGB")
        if image.has_transparency_data:
            layer = image.convert("RGBA")
            image = Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer)
        return image.convert("RGB")


@contextmanager
def decoded(image: Image.Image, *, pixels: int | None = None) -> Iterator[UprightImage]:
    """Decode an image; its pixels count as held until the block ends.

    Args:
        image: opened, not yet decoded.
        pixels: number of pixels that decoding needs at a time; ``None``: those of the image.

    Raises:
        BrokenImageError: truncated or otherwise undecodable.
    """
    needed = image.width * image.height if pixels is None else pixels
    needed *= _COSTS.get(image.format or "", 1)
    with _HELD.room_for(needed, max(max_pixels(), _PER_CORE * cpu_count())):
        yield UprightImage(image)


class _Held:
    """Number of decoded pixels in all threads; who would exceed the limit waits."""

    def __init__(self) -> None:
        self._pixels = 0
        self._changed = threading.Condition()

    @contextmanager
    def room_for(self, pixels: int, most: int) -> Iterator[None]:
        with self._changed:
            self._changed.wait_for(lambda: not self._pixels or self._pixels + pixels <= most)
            self._pixels += pixels
        try:
            yield
        finally:
            with self._changed:
                self._pixels -= pixels
                self._changed.notify_all()


_HELD = _Held()


def _range_of(image: Image.Image) -> tuple[float, float] | None:
    """Return the values that become 0 and 255 in a deep grey; ``None`` where it has 8 bits.

    They are the full range of their kind; where the values fit none, they are stretched.
    """
    if not image.mode.startswith("I") and image.mode != "F":
        return None
    if image.mode.startswith("I;16"):
        return 0.0, 65535.0
    width, height = image.size
    bands = (_finite(image.crop((0, top, width, bottom))) for top, bottom in _rows(width, height))
    lows, highs = zip(*((band.min(), band.max()) for band in bands), strict=True)
    low, high = float(min(lows)), float(max(highs))
    whites = _WHITES if image.mode == "F" else _WHITES[-1:]
    white = next((value for value in whites if low >= 0 and high <= value), None)
    return (low, high if high > low else low + 1.0) if white is None else (0.0, white)


def _finite(image: Image.Image) -> np.ndarray:
    return np.nan_to_num(np.asarray(image).astype(np.float64), posinf=0.0, neginf=0.0)


def _rows(width: int, height: int, multiple: int = 1) -> Iterator[tuple[int, int]]:
    """Yield (first, end) of the rows of each band."""
    rows = max(1, _BAND // width // multiple) * multiple
    for top in range(0, height, rows):
        yield top, min(height, top + rows)
