"""Image files by the names that tables give them: paths, or names without extension."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from core.cache import expanded
from core.errors import UserError, short
from training.data.file_tree import FileTree, joined, named

_SAMPLE = 200  # names that are looked for in a folder


class NoImageError(Exception):
    """No file for a name, or several; the message says which, in a few words."""


class ImageFinder:
    """Files below a folder.

    Args:
        root: folder that relative names start from.
    """

    def __init__(self, root: Path) -> None:
        self.root, self._root = root, os.path.abspath(root)
        self._tree = FileTree(root)
        self._stems: dict[str, dict[str, list[str]]] = {}

    def find(self, name: str) -> str:
        """Return the name of a file relative to the folder; an absolute one where it lies elsewhere.

        Args:
            name: a path, with the separators of any system; the extension may be missing.

        Raises:
            NoImageError: there is no such file, or several have this name with an extension.
        """
        for path in dict.fromkeys((name, name.replace("\\", "/"))):
            place = self._place(path)
            if os.path.isfile(os.path.join(self._root, place)):
                return place
        folder, _, stem = place.rpartition("/")
        files = self._with_stem(folder).get(stem, [])
        if len(files) > 1:
            raise NoImageError(f"several files: {', '.join(files)}")
        if not files or not stem:
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

    def _with_stem(self, folder: str) -> dict[str, list[str]]:
        """Return stem → names of the images in a folder; empty if there is no such folder."""
        if folder not in self._stems:
            stems = defaultdict(list)
            if os.path.isdir(self.root / folder):
                for name in self._tree.folder(folder).images:
                    stems[os.path.splitext(name)[0]].append(name)
            self._stems[folder] = stems
        return self._stems[folder]


def find_root(table: Path, names: Sequence[str], given: str | None) -> ImageFinder:
    """Return the finder of the folder that names start from.

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
        return ImageFinder(root)
    own = ImageFinder(beside)
    if own.has_any(names):
        return own
    finders = [ImageFinder(beside / folder) for folder in FileTree(beside).folder().folders]
    candidates = [finder for finder in finders if finder.has_any(names)]
    if len(candidates) == 1:
        return candidates[0]
    if candidates:
        places = named([f"{finder.root.name}/" for finder in candidates])
        raise UserError(
            f"table {table}: its images may be in {places}: name the folder by data.table.folder"
        )
    raise UserError(
        f"table {table}: none of its images, such as {short(names[0])}, is found from its folder or one "
        "there: name the folder that they start from by data.table.folder"
    )
