"""Sources of images, and their listings in one fixed order.

A source tells three things apart by cost: ``content`` (a digest, cheap enough for every run),
``listing`` (names, labels and splits) and ``load`` (one image, not yet decoded).
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from PIL import Image

from core.errors import named
from training.data.decode import BrokenImageError
from training.data.fingerprint import digest_bytes

_SAMPLE = 500  # images whose sides are looked at


@dataclass(frozen=True)
class Remarks:
    """Lines about a data set that can be used.

    Attributes:
        notes: how it was taken where the folders do not say all.
        warnings: what may be wrong with it, or was left out.
    """

    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    def __add__(self, other: Remarks) -> Remarks:
        """Return the lines of both."""
        return Remarks(self.notes + other.notes, self.warnings + other.warnings)


NO_REMARKS = Remarks()


@dataclass(frozen=True)
class Listing:
    """The images of a source, in an order that does not depend on the file system.

    Attributes:
        classes: names, in label order.
        files: relative name of each image.
        labels: class index of each image.
        image_splits: "train", "val" or "test" for each image, or "" for all where Minnow splits.
        folders: the splits that the source itself has; () where Minnow splits.
        problems: what makes the source unusable, one line each; empty when all is well.
        ignored: (ending, count) of files in class folders that are of no known image kind.
        remarks: how the folders were taken, and what was left out.
    """

    classes: tuple[str, ...]
    files: tuple[str, ...]
    labels: tuple[int, ...]
    image_splits: tuple[str, ...]
    folders: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    ignored: tuple[tuple[str, int], ...] = ()
    remarks: Remarks = NO_REMARKS

    def digest(self, contents: Sequence[str]) -> str:
        """Return the digest of everything that is read.

        Args:
            contents: digests of what holds the images.
        """
        columns = (self.classes, self.folders, self.files, self.labels, self.image_splits, contents)
        return digest_bytes(json.dumps(columns).encode())


class Source(ABC):
    """One data set, before it is decoded.

    Attributes:
        name: short name, for tables and file names.
        flip: whether a mirrored image still means the same.
        parallel: whether ``load`` may run in several threads.
    """

    name: str
    flip = True
    parallel = True

    @abstractmethod
    def content(self, cache: Path) -> str:
        """Return the digest of everything that is read: names, classes, splits, file contents."""

    @abstractmethod
    def load(self, index: int) -> Image.Image:
        """Open image ``index`` of the listing, lazily. Raises decode.BrokenImageError."""

    @abstractmethod
    def _list(self) -> Listing:
        """List names and labels, once."""

    def listing(self) -> Listing:
        """Return names and labels. Raises UserError where the source cannot be listed at all."""
        return self._listing

    @cached_property
    def _listing(self) -> Listing:
        return self._list()

    @property
    def remarks(self) -> Remarks:
        """Remarks as in ``Listing``, without the cost of a listing."""
        return NO_REMARKS

    @property
    def is_here(self) -> bool:
        """True if it can be read without a download."""
        return True

    def digests(self, cache: Path) -> tuple[str, ...] | None:
        """Return the content digest of the file of each image; ``None``: not one file each."""
        return None

    def column(self, name: str) -> tuple[str, ...] | None:
        """Return the value of each image of the listing, "" for none; ``None``: no such column."""
        return None

    def columns(self) -> tuple[str, ...]:
        """Return the names that :meth:`column` knows."""
        return ()

    def sides(self) -> Sequence[int]:
        """Return short sides in pixels, of all images or of a fair sample; unreadable ones left out."""
        total = len(self.listing().files)
        chosen = np.unique(np.linspace(0, total - 1, min(total, _SAMPLE)).astype(int)).tolist()
        return [side for index in chosen if (side := self._short_side(index))]

    def _short_side(self, index: int) -> int:
        try:
            return min(self.load(index).size)
        except BrokenImageError:
            return 0


def class_problems(
    classes: Sequence[str], labels: Sequence[int], image_splits: Sequence[str], folders: Mapping[str, str]
) -> tuple[str, ...]:
    """Return the problems of a listing's classes, one line each.

    Args:
        classes: as in ``Listing``.
        labels: as in ``Listing``.
        image_splits: as in ``Listing``.
        folders: split → what it is called where the images are, as in ``train/``; empty where Minnow
            splits.
    """
    if not labels:
        return ("there are no images",)
    problems = []
    if len(classes) < 2:
        problems.append(f"there is only one class, {classes[0]!r}: a classifier needs at least two")
    odd = [ascii(name) for name in classes if not name.isprintable()]  # they become lines of labels.txt
    if odd:
        problems.append(f"class names that are no printable text: {named(odd)}: rename them")
    counts = Counter(zip(image_splits, labels, strict=True))
    for split, folder in (folders or {"": ""}).items():
        where = f" in {folder}" if split else ""
        empty = [repr(name) for label, name in enumerate(classes) if not counts[split, label]]
        if len(empty) == 1:
            problems.append(f"class {empty[0]} has no images{where}: add some or remove the class")
        elif empty:
            problems.append(
                f"{len(empty)} classes have no images{where}: {named(empty)}: add some or remove them"
            )
    return tuple(problems)
