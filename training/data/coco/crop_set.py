"""Data set of crops from photos with boxes: cut, split by photo, stored in class folders."""

from __future__ import annotations

import os
import shutil
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from core.csv_table import cells_of, change_notice, csv_bytes
from core.errors import UserError
from core.files import staged_folder
from core.output_path import check_free
from core.runtime import ordered_map
from training.data.coco.annotations import Coco, Photo
from training.data.coco.categories import CategoryMap, check_folders
from training.data.coco.crops import (
    OtherSizeError,
    Wanted,
    crop_stem,
    cut_crops,
    locate,
    sized,
    wanted_of,
)
from training.data.decode import BrokenImageError, quiet_pillow
from training.data.grouped_split import split_groups

MISSING = "photo missing"
BROKEN = "photo broken"
OTHER_SIZE = "photo of another size"
RARE = "class too rare to be in every split"
INDEX = "crops.csv"
_COLUMNS = ("file", "photo", "annotation", "category", "x", "y", "width", "height")
_LEAST = 3  # crops of a class where Minnow splits
_ALL = ".all"  # folder of the crops that have no place yet


@dataclass(frozen=True)
class CropOptions:
    """Options of :func:`make_crops`.

    Attributes:
        margin: share of a box's longer side that is added on every side, 0 or more.
        min_side: least shorter side of a box, pixels.
        shares: split → share of the crops; empty: class folders without splits.
        seed: of the split.
    """

    margin: float = 0.1
    min_side: float = 20.0
    shares: Mapping[str, float] = field(default_factory=dict)
    seed: int = 0


@dataclass(frozen=True)
class CropReport:
    """Result of :func:`make_crops`.

    Attributes:
        counts: class → split → crops; the split is "" without a split.
        skipped: reason → boxes without a crop, the most frequent first.
        rare: classes that were left out.
        photos: that gave at least one crop.
        failed: reason → (photo, details) of those that could not be used.
    """

    counts: Mapping[str, Mapping[str, int]]
    skipped: Mapping[str, int]
    rare: tuple[str, ...]
    photos: int
    failed: Mapping[str, Sequence[tuple[str, str]]]


@dataclass(frozen=True)
class _Task:
    """A photo, its path (``None``: missing), the boxes to cut out and the names of their files."""

    photo: Photo
    path: Path | None
    wanted: Sequence[Wanted]
    names: Sequence[str]


@dataclass(frozen=True)
class _Crop:
    photo: Photo
    wanted: Wanted
    name: str


def make_crops(
    coco: Coco,
    images: Path,
    out: Path,
    classes: CategoryMap,
    options: CropOptions,
    *,
    progress: Callable[[int, int], None] | None = None,
    warn: Callable[[str], None] | None = None,
) -> CropReport:
    """Write one crop per box to ``out``, as ``[SPLIT/]CLASS/PHOTO-boxID.jpg``, and ``out/crops.csv``.

    All crops of a photo are in one split. Every class is in every split: one that cannot be is left out.

    Raises:
        UserError: ``out`` is not empty; a photo outside ``images``; a class that no folder can be named
            after; not a single crop; the disk is full.
    """
    check_free(out)
    places = locate(images, coco.photos)
    skipped = Counter({reason: len(of) for reason, of in coco.unusable.items()})
    tasks, taken = [], set[str]()
    for photo, path in zip(map(sized, coco.photos, places), places, strict=True):
        wanted, without = wanted_of(photo, classes, options.min_side)
        skipped += without
        if wanted:
            names = [_unused(crop_stem(photo, one.annotation), taken) for one in wanted]
            tasks.append(_Task(photo, path, wanted, names))
    check_folders({one.label for task in tasks for one in task.wanted})
    with staged_folder(out, warn) as work:
        crops, failed = _cut_all(tasks, work / _ALL, options.margin, progress)
        for reason, failures in failed.items():
            skipped[reason] = sum(len(task.wanted) for task, _ in failures)
        _check_any(crops, failed, skipped)
        crop_splits = _crop_splits(crops, options)
        rare = _rare(crops, crop_splits, options.shares)
        kept = [pair for pair in zip(crops, crop_splits, strict=True) if pair[0].wanted.label not in rare]
        skipped[RARE] = len(crops) - len(kept)
        if not kept:
            raise UserError(f"every class has too few boxes to be split: {', '.join(rare)}")
        renamed = _arrange(work, kept)
    if renamed is not None and warn is not None:
        warn(f"in {INDEX}, {renamed}")
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for crop, split in kept:
        counts[crop.wanted.label][split] += 1
    return CropReport(
        counts=dict(sorted(counts.items())),
        skipped={reason: count for reason, count in skipped.most_common() if count},
        rare=rare,
        photos=len({crop.photo.file for crop, _ in kept}),
        failed={r: [(task.photo.file, detail) for task, detail in tasks] for r, tasks in failed.items()},
    )


def _unused(stem: str, taken: set[str]) -> str:
    """Return ``stem``, numbered if it is taken; upper and lower case count as the same."""
    name, number = stem, 1
    while name.casefold() in taken:
        number += 1
        name = f"{stem}-{number}"
    taken.add(name.casefold())
    return name


_Failed = dict[str, list[tuple[_Task, str]]]


def _cut_all(
    tasks: Sequence[_Task],
    folder: Path,
    margin: float,
    progress: Callable[[int, int], None] | None,
) -> tuple[list[_Crop], _Failed]:
    """Write all crops into one folder; each photo is opened once."""
    folder.mkdir()

    def one(index: int) -> list[_Crop] | tuple[str, str]:
        task = tasks[index]
        if task.path is None:
            return MISSING, "no such file"
        crops = []
        try:
            pictures = cut_crops(task.path, task.photo.size, task.wanted, margin)
            for (picture, how), wanted, stem in zip(pictures, task.wanted, task.names, strict=True):
                crops.append(_Crop(task.photo, wanted, stem + how.ending))
                picture.save(folder / crops[-1].name, **how.options)
        except BrokenImageError as error:
            return BROKEN, str(error)
        except OtherSizeError as error:
            return OTHER_SIZE, str(error)
        return crops

    crops: list[_Crop] = []
    failed: _Failed = defaultdict(list)
    with quiet_pillow():
        for index, made in enumerate(ordered_map(one, len(tasks))):
            if isinstance(made, tuple):
                failed[made[0]].append((tasks[index], made[1]))
            else:
                crops += made
            if progress is not None:
                progress(index + 1, len(tasks))
    return crops, failed


def _check_any(crops: Sequence[_Crop], failed: _Failed, skipped: Mapping[str, int]) -> None:
    if crops:
        return
    if not failed:
        reasons = ", ".join(f"{reason} {count:,}" for reason, count in skipped.items() if count)
        raise UserError(f"none of the boxes gives a crop: {reasons or 'there are none'}")
    reason, of = max(failed.items(), key=lambda item: len(item[1]))
    task, detail = of[0]
    advice = {
        MISSING: "the image folder must be the one that the file names start from",
        OTHER_SIZE: "give the photos as they were annotated",
    }
    ending = f"; {advice[reason]}" if reason in advice else ""
    raise UserError(
        f"not one photo can be used: {reason} {len(of):,} times, {task.photo.file}: {detail}{ending}"
    )


def _crop_splits(crops: Sequence[_Crop], options: CropOptions) -> list[str]:
    """Return the split of each crop; all crops of a photo have the same."""
    if not options.shares:
        return [""] * len(crops)
    labels = {label: i for i, label in enumerate(sorted({crop.wanted.label for crop in crops}))}
    photos = {file: i for i, file in enumerate(dict.fromkeys(crop.photo.file for crop in crops))}
    counts = np.zeros((len(photos), len(labels)), dtype=np.int64)
    for crop in crops:
        counts[photos[crop.photo.file], labels[crop.wanted.label]] += 1
    names = list(options.shares)
    chosen = split_groups(counts, list(options.shares.values()), options.seed)
    return [names[chosen[photos[crop.photo.file]]] for crop in crops]


def _rare(
    crops: Sequence[_Crop], crop_splits: Sequence[str], shares: Mapping[str, float]
) -> tuple[str, ...]:
    """Return the classes without an image for every split, made here or when the crops are opened."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for crop, split in zip(crops, crop_splits, strict=True):
        counts[crop.wanted.label][split] += 1
    least = dict.fromkeys(shares, 1) or {"": _LEAST}
    if "val" in least and "test" not in least:
        least["train"] = 2  # validation is cut from it, see folders.scan
    return tuple(
        sorted(
            name for name, by_split in counts.items() if any(by_split[p] < n for p, n in least.items())
        )
    )


def _arrange(work: Path, crops: Sequence[tuple[_Crop, str]]) -> str | None:
    """Move the crops to their folders, remove those without one, and list them.

    Returns:
        One line about the names that the list has otherwise, or ``None``.
    """
    rows = []
    cells: dict[str, str] = {}
    for crop, split in crops:
        folder = work / split / crop.wanted.label
        folder.mkdir(parents=True, exist_ok=True)
        os.replace(work / _ALL / crop.name, folder / crop.name)
        one = crop.wanted.annotation
        file = (folder / crop.name).relative_to(work).as_posix()
        box = (f"{number:g}" for number in (one.box.x, one.box.y, one.box.width, one.box.height))
        cells |= cells_of((file, crop.photo.file), (one.category,))
        rows.append((cells[file], cells[crop.photo.file], one.id, one.category, *box))
    shutil.rmtree(work / _ALL)
    (work / INDEX).write_bytes(csv_bytes([_COLUMNS, *sorted(rows)]))
    return change_notice(cells)
