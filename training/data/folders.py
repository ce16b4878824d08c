"""A directory of class folders, whole or already cut into train/, val/ and test/."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path

from PIL import Image

from core.errors import UserError
from core.runtime import ordered_map
from training.data.class_names import joint_spelling, twin_warnings
from training.data.decode import (
    BrokenImageError,
    file_content,
    open_image,
    open_image_file,
    quiet_pillow,
    unreadable,
)
from training.data.file_tree import FileTree, joined
from training.data.fingerprint import (
    content_digest,
    digest_bytes,
    digest_files,
    forget_digests,
    is_digest,
)
from training.data.listing import Listing, Remarks, class_problems
from training.data.parts import find_parts


class FolderSource:
    """Images under ``root``; the class is the name of the folder they are in, at any depth."""

    flip = True
    parallel = True

    def __init__(self, root: Path) -> None:
        self.root = root
        self.name = root.resolve().name
        self._cache: Path | None = None
        self._digests: tuple[str, ...] | None = None

    def content(self, cache: Path) -> str:
        """Return the digest of everything that is read, see :class:`training.data.listing.Source`."""
        listing = self.listing()
        columns = (
            listing.classes,
            listing.folders,
            listing.files,
            listing.labels,
            listing.parts,
            self.digests(cache),
        )
        return digest_bytes(json.dumps(columns).encode())

    def digests(self, cache: Path) -> tuple[str, ...]:
        """Content digest of every file of the listing; an unreadable one has its reason."""
        if self._digests is None:
            self._cache = cache
            self._digests = digest_files(self.root, self.listing().files, cache)
        return self._digests

    def listing(self) -> Listing:
        """List names and labels."""
        return self._listing

    @property
    def remarks(self) -> Remarks:
        """Remarks, see :class:`training.data.listing.Listing`."""
        return self._listing.remarks

    @cached_property
    def _listing(self) -> Listing:
        return scan(self.root)

    def load(self, index: int) -> Image.Image:
        """Open one image, lazily."""
        name = self.listing().files[index]
        try:
            content = file_content(self.root / name)
        except OSError as error:
            raise BrokenImageError(unreadable(error)) from error
        if self._digests is not None and self._cache is not None:
            expected = self._digests[index]
            if is_digest(expected) and content_digest(content) != expected:
                forget_digests(self.root, self._cache)
                raise UserError(
                    f"{self.root / name} changed while it was being read: run the command again"
                )
        return open_image(content)

    def sides(self) -> Sequence[int]:
        """Return short sides in pixels."""
        count = len(self.listing().files)
        with quiet_pillow():
            return [side for side in ordered_map(self._short_side, count) if side]

    def _short_side(self, index: int) -> int:
        try:
            with open_image_file(self.root / self.listing().files[index]) as image:
                return min(image.size)
        except BrokenImageError:
            return 0


def scan(root: Path) -> Listing:
    """List the images under ``root``; what makes them unusable goes into ``problems``.

    Raises:
        UserError: a folder cannot be read, or two folders are the same part.
    """
    tree = FileTree(root)
    parts = find_parts(tree)
    folders = {part: tree.folder(place).folders for part, place in parts.folders.items()}
    spelling = joint_spelling(folders)
    classes = tuple(sorted(set(spelling.values())))
    problems = list(parts.problems)
    for part, names in folders.items():
        absent = sorted(set(classes) - {spelling[name] for name in names})
        if absent:
            place, missing = parts.folders[part], ", ".join(map(repr, absent))
            problems.append(f"{place}/ has no folder for class {missing}")

    ignored: Counter[str] = Counter()
    labels_of = {name: label for label, name in enumerate(classes)}
    records = sorted(
        (relative, labels_of[spelling[name]], part)
        for part, names in folders.items()
        for name in names
        for relative in _images(tree, joined(parts.folders[part], name), ignored)
    )
    files = tuple(record[0] for record in records)
    labels = tuple(record[1] for record in records)
    assigned = tuple(record[2] for record in records)
    if not classes:
        problems.append("there are no class folders: put the images of each class into a folder")
    elif not problems or files:
        problems += class_problems(classes, labels, assigned, parts.given)
    else:
        problems.append("there are no images")
    twins = Remarks(warnings=twin_warnings(classes))
    return Listing(
        classes,
        files,
        labels,
        assigned,
        tuple(parts.given),
        tuple(problems),
        tuple(ignored.most_common()),
        parts.remarks + twins + tree.remarks(),
    )


def _images(tree: FileTree, folder: str, ignored: Counter[str]) -> Iterator[str]:
    """Yield the relative names of the images below a folder; count the endings of other files."""
    for place, content in tree.walk(folder):
        yield from (joined(place, name) for name in content.images)
        ignored.update(os.path.splitext(name)[1].lower() or name for name in content.others)
