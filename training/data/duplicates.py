"""Groups of images that show the same picture, exactly or almost: those that matter, and as a table."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from core.csv_table import csv_bytes, path_cell
from training.data.split import SPLITS


@dataclass(frozen=True)
class Duplicate:
    """Files that show the same picture, exactly or almost.

    Attributes:
        files: relative names.
        classes: the classes that they are in; more than one is a labelling error.
        splits: the splits that they are in; more than one is leakage.
        same_file: the files are equal byte for byte, not only in their pixels.
    """

    files: tuple[str, ...]
    classes: tuple[str, ...]
    splits: tuple[str, ...]
    same_file: bool


@dataclass(frozen=True)
class CheckedImage:
    """One readable image.

    Attributes:
        file: relative name.
        label: class index.
        split: its split; "" where it is in none.
        pixels: digest of its pixels.
        digest: of its file; ``None`` where it is no file.
    """

    file: str
    label: int
    split: str
    pixels: str
    digest: str | None


def find_duplicates(
    images: Sequence[CheckedImage], groups: np.ndarray, classes: Sequence[str], *, exact: bool = True
) -> tuple[tuple[Duplicate, ...], int]:
    """Return the groups across classes or splits, and the number of further images in the others.

    Args:
        images: the readable ones.
        groups: number of the group of each.
        classes: class names.
        exact: the images of a group are equal in their pixels; else groups of equal ones are left out.
    """
    members: dict[int, list[CheckedImage]] = defaultdict(list)
    for image, group in zip(images, groups.tolist(), strict=True):
        members[group].append(image)
    found, repeats = [], 0
    for group in members.values():
        if not exact and len({image.pixels for image in group}) == 1:
            continue
        labels, where = {image.label for image in group}, {image.split for image in group}
        if len(labels) > 1 or len(where) > 1:
            found.append(
                Duplicate(
                    files=tuple(image.file for image in group),
                    classes=tuple(classes[label] for label in sorted(labels)),
                    splits=tuple(split for split in (*SPLITS, "all") if split in where),
                    same_file=group[0].digest is not None and len({image.digest for image in group}) == 1,
                )
            )
        else:
            repeats += len(group) - 1
    return tuple(found), repeats


def groups_csv(images: Sequence[CheckedImage], groups: np.ndarray, classes: Sequence[str]) -> bytes:
    """Return a table of all images: path, label, split, and the number of their group."""
    rows: list[list[object]] = [["path", "label", "split", "group"]]
    rows += [
        [path_cell(image.file), classes[image.label], image.split, int(group)]
        for image, group in zip(images, groups, strict=True)
    ]
    return csv_bytes(rows)
