"""Near-duplicates: altered copies of photos are found, other photos are not, and blocks miss no pair."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageOps
from sklearn.datasets import load_sample_images

from training.data import near_duplicates
from training.data.fitting import square
from training.data.near_duplicates import MAX_DISTANCE, close_pairs, group_near_duplicates
from training.data.perceptual_hash import HASHED_SIDE, perceptual_hashes


def reencoded(image: Image.Image) -> Image.Image:
    content = io.BytesIO()
    image.save(content, "JPEG", quality=50)
    return Image.open(content)


def cropped(image: Image.Image) -> Image.Image:
    width, height = image.size
    left, top = round(0.025 * width), round(0.025 * height)
    return image.crop((left, top, width - left, height - top))


ALTERED: dict[str, Callable[[Image.Image], Image.Image]] = {
    "encoded anew": reencoded,
    "half the size": lambda image: image.resize((image.width // 2, image.height // 2)),
    "brighter": lambda image: ImageEnhance.Brightness(image).enhance(1.1),
    "darker": lambda image: ImageEnhance.Brightness(image).enhance(0.9),
    "cropped": cropped,
    "mirrored": ImageOps.mirror,
    "mirrored and cropped": lambda image: cropped(ImageOps.mirror(image)),
}


def hashes_of(images: list[Image.Image]) -> np.ndarray:
    small = [Image.fromarray(square(image, HASHED_SIDE, "squash")) for image in images]
    return np.stack([hashes for image in small if (hashes := perceptual_hashes(image)) is not None])


@pytest.fixture(scope="module")
def photos() -> list[Image.Image]:
    """Twelve different crops of two photos."""
    return [
        Image.fromarray(photo[top : top + 200, left : left + 200])
        for photo in load_sample_images().images
        for top in (0, 210)
        for left in (0, 210, 420)
    ]


@pytest.mark.parametrize("name", ALTERED)
def test_altered_copies_are_found(photos, name):
    pairs = close_pairs(hashes_of([*photos, *map(ALTERED[name], photos)]), MAX_DISTANCE)
    wanted = {(index, index + len(photos)) for index in range(len(photos))}
    assert {(i, j) for i, j, _ in pairs.tolist()} == wanted


def test_other_photos_are_not(photos):
    assert not len(close_pairs(hashes_of(photos), MAX_DISTANCE))


def test_blocks_miss_no_pair(monkeypatch):
    """Copies of every variant, in both orders, within and beyond the distance; blocks cut the set oddly."""
    rng = np.random.default_rng(0)
    hashes = rng.integers(2**64, size=(50, 4, 4), dtype=np.uint64)
    planted = [
        (7, 3, 3, 0),
        (20, 49, 0, 10),
        (30, 31, 2, 48),
        (44, 5, 2, 47),
        (21, 40, 1, 0),
        (33, 8, 0, 49),
    ]
    for copy, original, variant, flips in planted:
        bits = np.unpackbits(hashes[original, variant].view(np.uint8))
        bits[rng.choice(256, flips, replace=False)] ^= 1
        hashes[copy, 0] = np.packbits(bits).view(np.uint64)
    hashes[21, 1] = hashes[40, 0]  # to mirror one or the other is the same
    monkeypatch.setattr(near_duplicates, "_ROWS", 8)
    monkeypatch.setattr(near_duplicates, "_COLUMNS", 13)
    wanted = [(min(i, j), max(i, j), flips) for i, j, _, flips in planted if flips <= 48]
    assert sorted(map(tuple, close_pairs(hashes, 48).tolist())) == sorted(wanted)


def test_a_chain_and_equal_images_are_one_group():
    rng = np.random.default_rng(1)
    hashes = rng.integers(2**64, size=(6, 4, 4), dtype=np.uint64)
    hashes[1] = hashes[0] ^ np.array([0xFFFFFFFF, 0, 0, 0], np.uint64)  # 32 bits away
    hashes[2] = hashes[1] ^ np.array([0, 0xFFFFFFFF, 0, 0], np.uint64)  # 64 from the first
    hashes[4] = 0  # nothing to hash, and equal to another such image
    hashes[5] = 0
    groups = group_near_duplicates(hashes, np.array([0, 1, 2, 3, 9, 9]))
    assert groups[0] == groups[1] == groups[2] != groups[3]
    assert groups[4] == groups[5] and len(set(groups.tolist())) == 3


def test_images_of_a_single_colour_have_no_hash():
    assert perceptual_hashes(Image.new("RGB", (HASHED_SIDE, HASHED_SIDE), "olive")) is None


def test_thousands_of_equal_images_end(monkeypatch):
    """More pairs than are kept: the search ends early instead of filling the memory."""
    monkeypatch.setattr(near_duplicates, "_MOST_PAIRS", 1_000)
    hashes = np.ones((3_000, 4, 4), np.uint64)
    assert 1_000 < len(close_pairs(hashes, 0)) < 200_000 * 2


def test_photos_of_the_same_things(trashnet: Path):
    """Two shots of one leaflet, and leaflets that differ."""
    names = ("paper305", "paper308", "paper345", "paper451", "paper1")
    images = [Image.open(trashnet / "paper" / f"{name}.jpg") for name in names]
    pairs = close_pairs(hashes_of(images), MAX_DISTANCE)
    assert [(i, j) for i, j, _ in pairs.tolist()] == [(0, 1), (2, 3)]
