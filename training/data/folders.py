"""A directory of class folders, whole or already cut into train/, val/ and test/."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from training.data.class_names import joint_spelling, twin_warnings
from training.data.file_source import FileSource
from training.data.file_tree import FileTree, joined
from training.data.listing import Listing, Remarks, class_problems
from training.data.split_folders import find_split_folders


class FolderSource(FileSource):
    """Images under ``root``; the class is the name of the folder they are in, at any depth."""

    def _list(self) -> Listing:
        return scan(self.root)


def scan(root: Path) -> Listing:
    """List the images under ``root``; what makes them unusable goes into ``problems``.

    Raises:
        UserError: a folder cannot be read, or two folders are the same split.
    """
    tree = FileTree(root)
    split_folders = find_split_folders(tree)
    folders = {split: tree.folder(place).folders for split, place in split_folders.folders.items()}
    spelling = joint_spelling(folders)
    classes = tuple(sorted(set(spelling.values())))
    problems = list(split_folders.problems)
    for split, names in folders.items():
        absent = sorted(set(classes) - {spelling[name] for name in names})
        if absent:
            place, missing = split_folders.folders[split], ", ".join(map(repr, absent))
            problems.append(f"{place}/ has no folder for class {missing}")

    ignored: Counter[str] = Counter()
    labels_of = {name: label for label, name in enumerate(classes)}
    records = sorted(
        (relative, labels_of[spelling[name]], split)
        for split, names in folders.items()
        for name in names
        for relative in _images(tree, joined(split_folders.folders[split], name), ignored)
    )
    files = tuple(record[0] for record in records)
    labels = tuple(record[1] for record in records)
    assigned = tuple(record[2] for record in records)
    if not classes:
        problems.append("there are no class folders: put the images of each class into a folder")
    elif not problems or files:
        where = {split: f"{folder}/" for split, folder in split_folders.given.items()}
        problems += class_problems(classes, labels, assigned, where)
    else:
        problems.append("there are no images")
    twins = Remarks(warnings=twin_warnings(classes))
    return Listing(
        classes,
        files,
        labels,
        assigned,
        tuple(split_folders.given),
        tuple(problems),
        tuple(ignored.most_common()),
        split_folders.remarks + twins + tree.remarks(),
    )


def _images(tree: FileTree, folder: str, ignored: Counter[str]) -> Iterator[str]:
    """Yield the relative names of the images below a folder; count the endings of other files."""
    for place, content in tree.walk(folder):
        yield from (joined(place, name) for name in content.images)
        ignored.update(os.path.splitext(name)[1].lower() or name for name in content.others)
