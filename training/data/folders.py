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
from training.data.decode import EXTENSIONS, BrokenImageError, open_image, quiet_pillow
from training.data.fingerprint import digest_bytes, digest_files, forget_digests, is_digest
from training.data.listing import Listing, class_problems

_PART_NAMES = {
    "train": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
}


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
    def note(self) -> str:
        """Note on the parts, see :class:`training.data.listing.Listing`."""
        return self._listing.note

    @cached_property
    def _listing(self) -> Listing:
        return scan(self.root)

    def load(self, index: int) -> Image.Image:
        """Open one image, lazily."""
        name = self.listing().files[index]
        try:
            content = (self.root / name).read_bytes()
        except OSError as error:
            raise BrokenImageError(f"cannot be read: {error.strerror or error}") from error
        if self._digests is not None and self._cache is not None:
            expected = self._digests[index]
            if is_digest(expected) and digest_bytes(content) != expected:
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
            with open_image(self.root / self.listing().files[index]) as image:
                return min(image.size)
        except BrokenImageError:
            return 0


def scan(root: Path) -> Listing:
    """List the images under ``root``; what makes them unusable goes into ``problems``.

    Raises:
        UserError: a folder cannot be read.
    """
    top = _folders(root)
    parts = _parts(root, top)
    note = ""
    if {"train", "val"} == set(parts):
        parts = {"train": parts["train"], "test": parts["val"]}
        note = (
            f"there is no test/: {parts['test']}/ is what is tested at the end, and a part of "
            f"{parts['train']}/ validates"
        )
    elif {"train", "test"} == set(parts):
        note = f"there is no val/: a part of {parts['train']}/ validates"
    problems: list[str] = []
    if parts:
        missing = [part for part in ("train", "test") if part not in parts]
        problems += [
            f"there is no {part}/ beside {', '.join(sorted(name + '/' for name in parts.values()))}"
            for part in missing
        ]
        by_part = {part: _folders(root / name) for part, name in parts.items()}
    else:
        by_part = {"": top}
    classes = tuple(sorted({name for names in by_part.values() for name in names}))
    for part, names in by_part.items():
        absent = [name for name in classes if name not in names]
        if absent:
            problems.append(f"{parts[part]}/ has no folder for class {', '.join(map(repr, absent))}")

    ignored: Counter[str] = Counter()
    records = [
        (relative, label, part)
        for part in by_part
        for label, name in enumerate(classes)
        if name in by_part[part]
        for relative in _images(root, f"{parts[part]}/{name}" if part else name, ignored)
    ]
    records.sort()
    files = tuple(record[0] for record in records)
    labels = tuple(record[1] for record in records)
    assigned = tuple(record[2] for record in records)
    if not classes:
        problems.append("there are no class folders: put the images of each class into a folder")
    elif not problems or files:
        problems += class_problems(classes, labels, assigned, parts)
    else:
        problems.append("there are no images")
    return Listing(
        classes,
        files,
        labels,
        assigned,
        tuple(parts),
        tuple(problems),
        tuple(ignored.most_common()),
        note,
    )


def _parts(root: Path, top: Sequence[str]) -> dict[str, str]:
    """Part → folder name, or nothing where the folders are classes.

    A folder called "train" may hold pictures of trains: it is a part only where every folder is
    one, or where train/ and test/ or val/ hold folders and no images of their own.
    """
    known = [name for name in top if name.lower() in _PART_NAMES]
    if not known:
        return {}
    others = len(known) < len(top)
    kinds = {_PART_NAMES[name.lower()] for name in known}
    if others and not ("train" in kinds and kinds & {"val", "test"}):
        return {}
    if any(_holds_images(root / name) for name in known):
        return {}
    names: dict[str, str] = {}
    for name in known:
        part = _PART_NAMES[name.lower()]
        if part in names:
            raise UserError(f"{root} has both {names[part]}/ and {name}/: keep one of them")
        names[part] = name
    return {part: names[part] for part in ("train", "val", "test") if part in names}


def _visible(directory: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(directory) as entries:
            visible = [entry for entry in entries if not entry.name.startswith(".")]
    except OSError as error:
        raise UserError(f"{directory} cannot be read: {error.strerror or error}") from error
    return sorted(visible, key=lambda entry: entry.name)


def _folders(directory: Path) -> list[str]:
    return [entry.name for entry in _visible(directory) if entry.is_dir()]


def _holds_images(directory: Path) -> bool:
    return any(_is_image(entry) for entry in _visible(directory))


def _is_image(entry: os.DirEntry[str]) -> bool:
    return os.path.splitext(entry.name)[1].lower() in EXTENSIONS and entry.is_file()


def _images(root: Path, folder: str, ignored: Counter[str]) -> Iterator[str]:
    """Relative names of the images below ``folder``; each real directory is entered once.

    The endings of other files are counted in ``ignored``.
    """
    entered: set[tuple[int, int]] = set()
    waiting = [folder]
    while waiting:
        current = waiting.pop()
        status = os.stat(root / current)
        identity = (status.st_dev, status.st_ino)
        if identity in entered:
            continue  # a link back to a folder above, or a second way to the same one
        entered.add(identity)
        below = []
        for entry in _visible(root / current):
            name = f"{current}/{entry.name}"
            if entry.is_dir():
                below.append(name)
            elif _is_image(entry):
                yield name
            else:
                ignored[os.path.splitext(entry.name)[1].lower() or entry.name] += 1
        waiting += reversed(below)
