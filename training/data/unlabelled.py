"""Images without labels: where they come from, and how they stand beside the labelled ones."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np

from core.cache import expanded
from core.errors import UserError
from training.data.file_source import FileSource
from training.data.file_tree import FileTree, joined
from training.data.fitting import Fit
from training.data.listing import Listing, Remarks
from training.data.pixels import Pixels, load_pixels


class UnlabelledSource(FileSource):
    """All images below a folder, at any depth, whatever the folders are called."""

    def _list(self) -> Listing:
        tree = FileTree(self.root)
        files = sorted(joined(place, name) for place, folder in tree.walk() for name in folder.images)
        return Listing(
            classes=("unlabelled",),
            files=tuple(files),
            labels=(0,) * len(files),
            image_splits=("",) * len(files),
            problems=() if files else ("there are no images",),
            remarks=tree.remarks(),
        )


def load_unlabelled(
    folder: str,
    size: int,
    fit: Fit,
    cache: Path,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[Remarks, Pixels]:
    """Return the images below ``folder``, from the cache or decoded into it now, and what was left out.

    Raises:
        UserError: there is no such directory; see also ``images.open_images``.
    """
    root = expanded(folder)
    if not folder or not root.is_dir():
        raise UserError(
            f"no directory {folder!r} of unlabelled images: give the one they are in now, or leave "
            "data.unlabelled out"
        )
    source = UnlabelledSource(root)
    return source.remarks, load_pixels(folder, source, size, fit, cache, progress)


class JoinedImages:
    """Two memory-mapped arrays of images, one after the other, as one that is indexed by images.

    Args:
        first: ``(n, S, S, 3)`` uint8.
        second: ``(m, S, S, 3)`` uint8.
    """

    def __init__(self, first: np.ndarray, second: np.ndarray) -> None:
        self._first, self._second = first, second

    def in_memory(self) -> JoinedImages:
        """Return the same images as plain arrays, which can be pickled without a copy."""
        return JoinedImages(np.asarray(self._first), np.asarray(self._second))

    def __len__(self) -> int:
        """Return n + m."""
        return len(self._first) + len(self._second)

    def __getitem__(self, indices: np.ndarray) -> np.ndarray:
        """Return copies of the images ``(B,)`` int64, ``(B, S, S, 3)``."""
        start = len(self._first)
        pixels = np.empty((len(indices), *self._first.shape[1:]), dtype=self._first.dtype)
        in_first = indices < start
        pixels[in_first] = self._first[indices[in_first]]
        pixels[~in_first] = self._second[indices[~in_first] - start]
        return pixels


def repeated(images: np.ndarray, others: np.ndarray, indices: np.ndarray) -> np.ndarray:
    """Return which images are, pixel by pixel, among some of ``others``: ``(n,)`` bool.

    So a copy is found whatever its name, place or file format. Few images are read in full: those whose
    middle row occurs among the others.

    Args:
        images: ``(n, S, S, 3)`` uint8.
        others: ``(m, S, S, 3)`` uint8.
        indices: ``(k,)`` of ``others``.
    """
    middle = images.shape[1] // 2
    rows = [image[middle].tobytes() for image in images]
    wanted = {*rows}
    among: dict[bytes, set[bytes]] = {}
    for index in indices:
        row = others[index, middle].tobytes()
        if row in wanted:
            among.setdefault(row, set()).add(_digest(others[index]))
    found = [
        row in among and _digest(image) in among[row] for row, image in zip(rows, images, strict=True)
    ]
    return np.array(found, dtype=bool)


def _digest(image: np.ndarray) -> bytes:
    return hashlib.blake2b(image.tobytes(), digest_size=16).digest()
