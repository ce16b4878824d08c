"""Content of a folder of images: what is read, and what is left out and must be said.

Left out are files and folders that belong to a system and not to the data set, and whatever is no
regular file: reading a pipe or a device may never end.
"""

from __future__ import annotations

import errno
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from core.errors import UserError, named
from training.data.decode import EXTENSIONS, special_kind, unreadable
from training.data.listing import Remarks

#: What systems, file managers, network drives and archives leave in folders; hidden names beside them.
SYSTEM_NAMES = frozenset(
    name.casefold()
    for name in (
        "$RECYCLE.BIN",
        "System Volume Information",
        "Thumbs.db",
        "ehthumbs.db",
        "ehthumbs_vista.db",
        "desktop.ini",
        "Picasa.ini",
        "__MACOSX",
        "Icon\r",
        "Network Trash Folder",
        "Temporary Items",
        "lost+found",
        "@eaDir",
        "@tmp",
        "@sharebin",
        "@Recycle",
        "@Recently-Snapshot",
        "#recycle",
        "#snapshot",
        "__pycache__",
    )
)


@dataclass(frozen=True)
class Folder:
    """Names of what is in a folder, each sorted.

    Attributes:
        folders: folders, links to folders last.
        images: regular files with the ending of an image.
        others: other regular files.
    """

    folders: tuple[str, ...]
    images: tuple[str, ...]
    others: tuple[str, ...]


class FileTree:
    """Folders below a root, each read once; counts what is left out of those that were read.

    Args:
        root: the folder that names start from.

    Attributes:
        system: name → number of files and folders of systems; hidden ones too.
        special: (relative name, reason) of what is no regular file.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.system: Counter[str] = Counter()
        self.special: list[tuple[str, str]] = []
        self._read: dict[str, Folder] = {}

    def folder(self, name: str = "") -> Folder:
        """Return the content of a folder.

        Args:
            name: relative, with ``/``; "" is the root.

        Raises:
            UserError: it cannot be read.
        """
        if name not in self._read:
            self._read[name] = self._scan(name)
        return self._read[name]

    def walk(self, name: str = "") -> Iterator[tuple[str, Folder]]:
        """Yield (relative name, content) of a folder and of all folders below it.

        Each real folder is entered once, wherever links lead.

        Raises:
            UserError: a folder cannot be read.
        """
        entered: set[tuple[int, int]] = set()
        waiting = [name]
        while waiting:
            current = waiting.pop()
            status = os.stat(self.root / current)
            if (status.st_dev, status.st_ino) in entered:
                continue
            entered.add((status.st_dev, status.st_ino))
            folder = self.folder(current)
            yield current, folder
            waiting += [joined(current, below) for below in reversed(folder.folders)]

    def remarks(self) -> Remarks:
        """Return what was left out: a note about systems' files, a warning about special ones."""
        notes, warnings = [], []
        if self.system:
            names = [f"{name} ({count})" for name, count in self.system.most_common()]
            notes.append(f"ignored, since they are hidden or the system's: {named(names)}")
        if self.special:
            names = [f"{name}: {reason}" for name, reason in sorted(self.special)]
            warnings.append(f"skipped, since they are no regular files ({len(names)}): {named(names)}")
        return Remarks(tuple(notes), tuple(warnings))

    def _scan(self, name: str) -> Folder:
        try:
            with os.scandir(self.root / name) as scanned:
                entries = sorted(scanned, key=lambda entry: entry.name)
        except OSError as error:
            raise UserError(f"{self.root / name} cannot be read: {error.strerror or error}") from error
        folders: list[str] = []
        links: list[str] = []
        images: list[str] = []
        others: list[str] = []
        for entry in entries:
            if entry.name.startswith(".") or entry.name.casefold() in SYSTEM_NAMES:
                # Each file of a volume without resource forks may have a second one, ._NAME.
                self.system["._*" if entry.name.startswith("._") else entry.name] += 1
                continue
            reason = _left_out(entry)
            if reason is not None:
                self.special.append((joined(name, entry.name), reason))
            elif entry.is_dir():
                (links if entry.is_symlink() else folders).append(entry.name)
            elif os.path.splitext(entry.name)[1].lower() in EXTENSIONS:
                images.append(entry.name)
            else:
                others.append(entry.name)
        return Folder((*folders, *links), tuple(images), tuple(others))


def joined(folder: str, name: str) -> str:
    """Return the relative name of something in a folder."""
    return f"{folder}/{name}" if folder else name


def _left_out(entry: os.DirEntry[str]) -> str | None:
    """Return why a file is not read; ``None``: it is a folder or a regular file."""
    try:
        if entry.is_dir() or entry.is_file():
            return None
        return special_kind(entry.stat().st_mode)
    except OSError as error:
        if error.errno == errno.ELOOP:
            return "a link that leads in a circle"
        return "a link to nothing" if error.errno == errno.ENOENT else unreadable(error)
