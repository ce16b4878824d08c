"""Groups of images that show almost the same picture, by the distance of their perceptual hashes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from core.runtime import ordered_map
from training.data.perceptual_hash import VARIANTS

#: Most bits, of 256, in which near-duplicates differ. On TrashNet all 22 pairs within it show the same
#: thing, and the first pair that does not has 50 (``benchmarks/near_duplicates.py``).
MAX_DISTANCE = 48
_ROWS, _COLUMNS = 64, 4096  # hashes compared at a time; the differences stay in a core's own cache
_MOST_PAIRS = 1_000_000


def group_near_duplicates(
    hashes: np.ndarray,
    same: np.ndarray,
    *,
    most: int = MAX_DISTANCE,
    progress: Callable[[int, int], None] | None = None,
) -> np.ndarray:
    """Return the number of the group that each image is in, ``(N,)`` int64.

    Two images are in one group where they are equal, where they differ in at most ``most`` bits, or where
    a chain of such pairs connects them.

    Args:
        hashes: ``(N, 4, words)`` uint64 of :func:`perceptual_hash.perceptual_hashes`; all 0 where there
            are none.
        same: ``(N,)`` integers, equal for images of equal pixels.
        most: largest number of bits.
        progress: called with (images done, images in all).
    """
    count = len(hashes)
    _, first, of = np.unique(same, return_index=True, return_inverse=True)
    compared = first[hashes[first].any(axis=(1, 2))]
    pairs = compared[close_pairs(hashes[compared], most, progress=progress)[:, :2]]
    edges = np.concatenate([pairs, np.stack([np.arange(count), first[of]], axis=1)])
    graph = coo_array((np.ones(len(edges)), (edges[:, 0], edges[:, 1])), shape=(count, count))
    return connected_components(graph, directed=False)[1].astype(np.int64)


def close_pairs(
    hashes: np.ndarray, most: int, *, progress: Callable[[int, int], None] | None = None
) -> np.ndarray:
    """Return the pairs within a distance, ``(pairs, 3)`` int64: first, second, bits that differ.

    The distance is the least between a variant of one image and the other image as it is. All pairs are
    compared, in blocks and on all cores; ``docs/own-images.md`` has the time. After a million pairs the
    rest of the images is left out: then they are all alike, and more pairs tell no more.

    Args:
        hashes: ``(N, 4, words)`` uint64.
        most: largest number of bits that differ.
        progress: called with (images done, images in all).
    """
    count = len(hashes)
    words = np.ascontiguousarray(hashes.transpose(1, 2, 0))  # (variants, words, N)
    blocks = range(0, count, _ROWS)
    found, total = [np.empty((0, 3), np.int64)], 0
    for pairs in ordered_map(lambda block: _block_pairs(words, blocks[block], most), len(blocks)):
        found.append(pairs)
        total += len(pairs)
        if progress is not None:
            progress(min((len(found) - 1) * _ROWS, count), count)
        if total > _MOST_PAIRS:
            break
    return _nearest(np.concatenate(found))


def _block_pairs(words: np.ndarray, start: int, most: int) -> np.ndarray:
    """Return the pairs of a block of rows; a pair may come twice, at different distances."""
    found = [np.empty((0, 3), np.int64)]
    for variant, name in enumerate(VARIANTS):
        # Mirroring one image of a pair or the other is the same; cropping is not.
        begin = 0 if "cropped" in name else start
        rows = words[variant, :, start : start + _ROWS]
        for column in range(begin, words.shape[2], _COLUMNS):
            columns = words[0, :, column : column + _COLUMNS]
            # Few pairs that differ are within the distance in half of the bits; the rest is for those.
            half = len(rows) // 2
            i, j = _close_in(rows[:half], columns[:half], most)
            distances = np.bitwise_count(rows[:, i] ^ columns[:, j]).sum(axis=0, dtype=np.int64)
            pairs = np.column_stack([i + start, j + column, distances])
            found.append(pairs[(distances <= most) & (pairs[:, 0] != pairs[:, 1])])
    return np.concatenate(found)


def _close_in(rows: np.ndarray, columns: np.ndarray, most: int) -> tuple[np.ndarray, np.ndarray]:
    """Return where rows ``(words, R)`` and columns ``(words, C)`` differ in at most ``most`` bits."""
    shape = (rows.shape[1], columns.shape[1])
    differing, counted = np.zeros(shape, np.uint8), np.empty(shape, np.uint8)
    bits = np.empty(shape, np.uint64)
    for row, column in zip(rows, columns, strict=True):
        np.bitwise_xor(row[:, None], column[None], out=bits)
        differing += np.bitwise_count(bits, out=counted)
    return np.divmod(np.flatnonzero(differing <= most), shape[1])


def _nearest(pairs: np.ndarray) -> np.ndarray:
    """Return each pair once, its smaller index first, with its least distance."""
    ordered = np.column_stack([pairs[:, :2].min(axis=1), pairs[:, :2].max(axis=1), pairs[:, 2]])
    ordered = ordered[np.lexsort(ordered.T[::-1])]
    changed = np.any(np.diff(ordered[:, :2], axis=0, prepend=-1) != 0, axis=1)
    return ordered[changed]
