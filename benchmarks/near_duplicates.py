"""How well near-duplicates are found: altered copies of photos, pairs of different photos, and time.

Usage: python benchmarks/near_duplicates.py DATA [--images 500] [--pairs pairs.png]

For each alteration, the share of the drawn images whose altered copy is within each distance; below it,
the number of pairs of the data set itself within it. ``--pairs`` draws the closest of these pairs, in the
order of their distance, so that a person can tell which show the same thing. Last, the time to compare
random hashes of 50,000 images.
"""

from __future__ import annotations

import argparse
import io
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageOps

from core.runtime import cpu_count, ordered_map
from training.data.decode import quiet_pillow
from training.data.fitting import square, thumbnail
from training.data.listing import Source
from training.data.near_duplicates import MAX_DISTANCE, close_pairs
from training.data.perceptual_hash import HASH_WORDS, HASHED_SIDE, VARIANTS, perceptual_hashes
from training.data.sources import find_source

_DISTANCES = (16, 32, 40, MAX_DISTANCE, 56, 64)
_DRAWN, _ACROSS, _SIDE = 60, 6, 110


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", help="a data set")
    parser.add_argument("--images", type=int, default=500, help="that are altered")
    parser.add_argument("--pairs", type=Path, help="PNG file for the closest pairs")
    given = parser.parse_args()
    source = find_source(given.data)
    files = source.listing().files
    with quiet_pillow():
        hashes = _hashes(source, range(len(files)), lambda image: image)
        drawn = np.sort(np.random.default_rng(0).permutation(len(files))[: given.images])
        print("| alteration | " + " | ".join(f"≤ {d}" for d in _DISTANCES) + " |")
        print("|---" * (1 + len(_DISTANCES)) + "|")
        for name, alter in ALTERATIONS.items():
            altered = _hashes(source, drawn, alter)
            least = np.array([_distance(a, b) for a, b in zip(altered, hashes[drawn], strict=True)])
            shares = " | ".join(f"{np.mean(least <= d):.3f}" for d in _DISTANCES)
            print(f"| {name} | {shares} |")
        pairs = close_pairs(hashes[hashes.any(axis=(1, 2))], _DISTANCES[-1])
        counts = " | ".join(str(np.sum(pairs[:, 2] <= d)) for d in _DISTANCES)
        print(f"| pairs of the {len(files):,} images | {counts} |")
        if given.pairs is not None:
            _draw(source, pairs[np.argsort(pairs[:, 2], kind="stable")][:_DRAWN], given.pairs)
    many = np.random.default_rng(0).integers(2**63, size=(50_000, 4, HASH_WORDS), dtype=np.uint64)
    wall, cpu = time.perf_counter(), time.process_time()
    close_pairs(many, MAX_DISTANCE)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    print(f"\n50,000 images compared in {wall:.0f} s, {cpu:.0f} s of {cpu_count()} processors")


def reencoded(image: Image.Image) -> Image.Image:
    """Return the image after JPEG of quality 50."""
    content = io.BytesIO()
    image.save(content, "JPEG", quality=50)
    return Image.open(content)


def cropped(image: Image.Image, share: float, place: float = 0.5) -> Image.Image:
    """Return the image without a share of each side, ``place`` of it cut off at the left and top."""
    width, height = image.size
    left, top = place * share * width, place * share * height
    right, bottom = left + (1 - share) * width, top + (1 - share) * height
    return image.crop((round(left), round(top), round(right), round(bottom)))


ALTERATIONS: dict[str, Callable[[Image.Image], Image.Image]] = {
    "JPEG of quality 50": reencoded,
    "half the size": lambda image: image.resize((image.width // 2, image.height // 2)),
    "brightness +10 %": lambda image: ImageEnhance.Brightness(image).enhance(1.1),
    "brightness -10 %": lambda image: ImageEnhance.Brightness(image).enhance(0.9),
    "mirrored": ImageOps.mirror,
    "cropped 3 %": lambda image: cropped(image, 0.03),
    "cropped 5 %": lambda image: cropped(image, 0.05),
    "cropped 8 %": lambda image: cropped(image, 0.08),
    "cropped 5 %, at one corner": lambda image: cropped(image, 0.05, 1.0),
    "cropped 5 %, mirrored, JPEG": lambda image: reencoded(ImageOps.mirror(cropped(image, 0.05))),
}


def _hashes(
    source: Source, indices: np.ndarray | range, alter: Callable[[Image.Image], Image.Image]
) -> np.ndarray:
    """Return ``(n, 4, words)``, 0 for images without hashes."""

    def hashed(turn: int) -> np.ndarray:
        image = alter(source.load(int(indices[turn])).convert("RGB"))
        hashes = perceptual_hashes(Image.fromarray(square(image, HASHED_SIDE, "squash")))
        return np.zeros((len(VARIANTS), HASH_WORDS), np.uint64) if hashes is None else hashes

    return np.stack(list(ordered_map(hashed, len(indices))))


def _distance(a: np.ndarray, b: np.ndarray) -> int:
    """Return the least number of bits between two images, variants of either against the other."""
    orders = np.concatenate([a ^ b[:1], b ^ a[:1]])
    return int(np.bitwise_count(orders).sum(axis=1).min())


def _draw(source: Source, pairs: np.ndarray, out: Path) -> None:
    width, height = 2 * _SIDE + 10, _SIDE + 16
    canvas = Image.new("RGB", (_ACROSS * width, -(-len(pairs) // _ACROSS) * height), "white")
    pen = ImageDraw.Draw(canvas)
    for number, (*pair, distance) in enumerate(pairs.tolist()):
        left, top = number % _ACROSS * width, number // _ACROSS * height
        pen.text((left, top), str(distance), fill="black")
        for turn, index in enumerate(pair):
            canvas.paste(thumbnail(source.load(index), _SIDE), (left + turn * _SIDE, top + 14))
    canvas.save(out)


if __name__ == "__main__":
    main()
