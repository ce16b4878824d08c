"""Boxes in an image: clipping, margins, and their place once a photo is turned upright."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

#: The pixels that a box counts in: those of the photo as shown, or as its file stores them.
Frame = Literal["upright", "stored"]
Size = tuple[int, int]


@dataclass(frozen=True)
class Box:
    """A rectangle, in pixels from the top left corner.

    Attributes:
        x, y: its left and upper edge; may lie outside the image.
        width, height: may be 0 or less, in careless files.
    """

    x: float
    y: float
    width: float
    height: float

    @property
    def empty(self) -> bool:
        """True where it holds nothing, or its corners are the wrong way round."""
        return self.width <= 0 or self.height <= 0


def clipped(box: Box, size: Size) -> Box:
    """Return the part of ``box`` inside an image of ``size`` (width, height); it may be empty."""
    left, top = max(0.0, box.x), max(0.0, box.y)
    right, bottom = min(float(size[0]), box.x + box.width), min(float(size[1]), box.y + box.height)
    return Box(left, top, right - left, bottom - top)


def window(box: Box, margin: float, size: Size) -> tuple[int, int, int, int]:
    """Return the whole pixels to cut out: (left, top, right, bottom), inside an image of ``size``.

    Args:
        box: inside the image, not empty.
        margin: share of the box's longer side that is added on every side.
        size: (width, height) of the image.
    """
    more = margin * max(box.width, box.height)
    return (
        max(0, math.floor(box.x - more)),
        max(0, math.floor(box.y - more)),
        min(size[0], math.ceil(box.x + box.width + more)),
        min(size[1], math.ceil(box.y + box.height + more)),
    )


def frame_of(annotated: Size, upright: Size, orientation: int) -> Frame | None:
    """Return the frame that boxes count in, from the size that their file gives the photo.

    Where both frames have that size (a square, half a turn, a mirror image), it is the upright one:
    people draw boxes on photos as programs show them, and programs turn them.

    Args:
        annotated: (width, height) beside the boxes.
        upright: (width, height) of the photo when it is turned.
        orientation: EXIF's, 1 to 8.

    Returns:
        ``None`` where it is neither: these are boxes of another version of the photo.
    """
    if annotated == upright:
        return "upright"
    return "stored" if orientation >= 5 and annotated == upright[::-1] else None


def to_upright(box: Box, orientation: int, size: Size) -> Box:
    """Return a box of the stored photo in the frame of the upright one.

    Args:
        box: in the stored photo.
        orientation: EXIF's, 1 to 8.
        size: (width, height) of the stored photo.
    """
    x, y, width, height = box.x, box.y, box.width, box.height
    right, below = size[0] - x - width, size[1] - y - height  # distances to the other two edges
    places = {
        2: (right, y),
        3: (right, below),
        4: (x, below),
        5: (y, x),
        6: (below, x),
        7: (below, right),
        8: (y, right),
    }
    left, top = places.get(orientation, (x, y))
    return Box(left, top, height, width) if orientation >= 5 else Box(left, top, width, height)
