"""Image files by the names that tables give them: paths, or names without extension."""

from __future__ import annotations

import os
import posixpath
import re
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from core.cache import expanded
from core.errors import UserError, named, short
from training.data.file_tree import FileTree, joined

_ABSOLUTE = re.compile(r"/|[A-Za-z]:/")
_SAMPLE = 200  # names that are looked for in a folder


class NoImageError(Exception):
    """No file for a name, or several; the message says which, in a few words."""


class ImageFinder:
    """Files below a folder.

    Args:
        root: folder that relative names start from.
        elsewhere: folder of another machine, which names begin with and which means ``root``; with
            slashes, and one at its end; "": none.
    """

    def __init__(self, root: Path, elsewhere: str = "") -> None:
        self.root, self._root = root, os.path.abspath(root)
        self._elsewhere = elsewhere
        self._tree = FileTree(root)
        self._names: dict[str, tuple[dict[str, list[str]], dict[str, list[str]]]] = {}

    def find(self, name: str) -> str:
        """Return the name of a file relative to the folder; an absolute one where it lies elsewhere.

        Args:
            name: a path, with the separators of any system; the extension may be missing.

        Raises:
            NoImageError: there is no such file, or several have this name with an extension.
        """
        if not name:
            raise NoImageError("no name of a file")
        for path in dict.fromkeys((name, name.replace("\\", "/"))):
            place = self._place(path.removeprefix(self._elsewhere))
            if os.path.isfile(os.path.join(self._root, place)):
                return place
        folder, _, last = place.rpartition("/")
        exact, folded = self._names_in(folder)
        files = exact.get(last) or folded.get(last.casefold(), [])
        if len(files) > 1:
            raise NoImageError(f"several files: {', '.join(files)}")
        if not files or not last:
            raise NoImageError("no such file")
        return joined(folder, files[0])

    def has_any(self, names: Sequence[str]) -> bool:
        """Return whether there is a file for one of these names, or of a sample of them."""
        return any(self._has(name) for name in names[:: len(names) // _SAMPLE + 1])

    def _has(self, name: str) -> bool:
        try:
            return bool(self.find(name))
        except NoImageError:
            return False

    def _place(self, path: str) -> str:
        """Return a path relative to the root if it lies below, in the one form of each path."""
        place = os.path.normpath(path)
        below = os.path.isabs(place) and place.startswith(self._root + os.sep)
        return place[len(self._root) + 1 :] if below else place

    def _names_in(self, folder: str) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
        """Return the images of a folder by name without extension, and by either name without case.

        A table from a system that ignores upper and lower case may name them in other letters. Both are
        empty if there is no such folder.
        """
        if folder not in self._names:
            exact, folded = defaultdict(list), defaultdict(list)
            if os.path.isdir(self.root / folder):
                for name in self._tree.folder(folder).images:
                    stem = os.path.splitext(name)[0]
                    exact[stem].append(name)
                    for known in {name.casefold(), stem.casefold()}:
                        folded[known].append(name)
            self._names[folder] = exact, folded
        return self._names[folder]


def find_root(table: Path, names: Sequence[str], given: str | None) -> ImageFinder:
    """Return the finder of the folder that names start from.

    Absolute paths of another machine mean the files here: the folder that they have in common there is
    the one that is found here.

    Args:
        table: path of the table.
        names: of the images.
        given: folder that the user names; ``None``: that of the table, or the one in it that holds images
            of these names.

    Raises:
        UserError: there is no such folder, or there are several.
    """
    beside = table.parent
    if not names:
        raise UserError(f"table {table}: the column of its images is empty")
    if given is not None:
        root = beside / expanded(given)
        root = root if root.is_dir() else expanded(given)
        if not root.is_dir():
            raise UserError(f"table {table}: there is no folder {short(given)} for data.table.folder")
        finder = ImageFinder(root)
        return finder if finder.has_any(names) else ImageFinder(root, _common_folder(names))
    own = ImageFinder(beside)
    if own.has_any(names):
        return own
    elsewhere = _common_folder(names)
    if (moved := ImageFinder(beside, elsewhere)).has_any(names):
        return moved
    folders = FileTree(beside).folder().folders
    finders = [ImageFinder(beside / folder, elsewhere) for folder in folders]
    candidates = [finder for finder in finders if finder.has_any(names)]
    if len(candidates) == 1:
        return candidates[0]
    if candidates:
        places = named([f"{finder.root.name}/" for finder in candidates])
        raise UserError(
            f"table {table}: its images may be in {places}: name the folder, as in "
            f"--set data.table.folder={candidates[0].root.name}"
        )
    raise UserError(
        f"table {table}: none of its images, such as {short(names[0])}, is found from its folder or one "
        "there: name the folder that they start from, as in --set data.table.folder=DIR"
    )


def _common_folder(names: Sequence[str]) -> str:
    """Return the folder that absolute paths of any system have in common, with a slash; "" for others."""
    paths = [name.replace("\\", "/") for name in names]
    roots = {match and match[0] for match in map(_ABSOLUTE.match, paths)}
    if len(roots) > 1 or None in roots:
        return ""
    return posixpath.commonpath(map(posixpath.dirname, paths)).rstrip("/") + "/"
