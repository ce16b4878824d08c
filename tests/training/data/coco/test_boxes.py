"""Where a box is after clipping, with a margin, and once its photo is turned."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from training.data.coco.boxes import Box, clipped, frame_of, to_upright, window
from training.data.decode import TURNS


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_turned_box_holds_the_same_pixels(orientation: int) -> None:
    rng = np.random.default_rng(orientation)
    for _ in range(50):
        width, height = rng.integers(5, 40, 2).tolist()
        x, y = int(rng.integers(width)), int(rng.integers(height))
        box = Box(x, y, int(rng.integers(1, width - x + 1)), int(rng.integers(1, height - y + 1)))
        stored = Image.fromarray(rng.integers(256, size=(height, width), dtype=np.uint8))
        turn = TURNS.get(orientation)
        upright = stored if turn is None else stored.transpose(turn)
        inside = np.asarray(stored.crop(window(box, 0, stored.size)))
        moved = to_upright(box, orientation, stored.size)
        found = upright.crop(window(moved, 0, upright.size))
        expected = Image.fromarray(inside) if turn is None else Image.fromarray(inside).transpose(turn)
        assert np.array_equal(np.asarray(found), np.asarray(expected))


def test_a_clipped_box_is_inside_and_its_window_holds_it() -> None:
    rng = np.random.default_rng(0)
    kept = 0
    for _ in range(500):
        size = (int(rng.integers(1, 60)), int(rng.integers(1, 60)))
        box = Box(*rng.uniform(-30, 70, 2), *rng.uniform(-5, 60, 2))
        inside = clipped(box, size)
        outside = (
            box.empty
            or box.x >= size[0]
            or box.y >= size[1]
            or box.x + box.width <= 0
            or box.y + box.height <= 0
        )
        assert inside.empty == outside
        if inside.empty:
            continue
        kept += 1
        assert inside.x >= 0 and inside.x + inside.width <= size[0] + 1e-9
        left, top, right, bottom = window(inside, 0.3, size)
        assert 0 <= left <= inside.x and inside.x + inside.width <= right <= size[0]
        assert 0 <= top <= inside.y and inside.y + inside.height <= bottom <= size[1]
    assert kept > 100


def test_margin_is_of_the_longer_side_and_ends_at_the_border() -> None:
    assert window(Box(50, 60, 100, 20), 0.1, (400, 400)) == (40, 50, 160, 90)
    assert window(Box(5, 60, 100, 20), 0.1, (110, 85)) == (0, 50, 110, 85)
    assert window(Box(5.5, 6.5, 3.2, 2), 0, (99, 99)) == (5, 6, 9, 9)


@pytest.mark.parametrize(
    ("annotated", "upright", "orientation", "frame"),
    [
        ((30, 40), (30, 40), 1, "upright"),
        ((40, 30), (30, 40), 1, None),
        ((30, 40), (30, 40), 6, "upright"),
        ((40, 30), (30, 40), 6, "stored"),
        ((40, 30), (30, 40), 3, None),
        ((30, 30), (30, 30), 6, "upright"),
        ((30, 40), (30, 40), 3, "upright"),
        ((60, 80), (30, 40), 8, None),
    ],
)
def test_frames(annotated, upright, orientation, frame) -> None:
    assert frame_of(annotated, upright, orientation) == frame
