"""Check of a data set before training: its content, its problems, and warnings."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from core.cache import cache_dir
from core.errors import UserError
from training.data.duplicates import CheckedImage, Duplicate, find_duplicates
from training.data.findings import describe_findings
from training.data.groups import find_groups
from training.data.images import DEFAULT_OPTIONS, DataOptions, split_notes
from training.data.listing import NO_REMARKS, Remarks, Source
from training.data.looks import Look, look_at
from training.data.near_duplicates import group_near_duplicates
from training.data.pixels import default_size
from training.data.sources import find_source
from training.data.split import SPLITS, make_splits


@dataclass(frozen=True)
class SizeRange:
    """Image sizes in pixels; each side on its own."""

    min_width: int
    median_width: float
    max_width: int
    min_height: int
    median_height: float
    max_height: int


@dataclass(frozen=True)
class Report:
    """Result of :func:`check_images`.

    Attributes:
        spec, name, classes: as in ``images.ImageSet``.
        counts: split → readable images of each class, in class order. Where Minnow splits and
            cannot (a class is too small), there is one split, "all".
        own_splits: the data set brings its own splits.
        stored_size: side in pixels that images will be stored at.
        sizes: None where no image can be read.
        modes: Pillow mode ("RGB", "L", "CMYK", …) → images.
        broken: (file, reason) of every file that cannot be read.
        duplicates: groups of exact copies across classes or across splits.
        repeats: further exact copies of a picture within one class and split.
        near_duplicates: groups of near-duplicates across classes or across splits; exact copies alone are
            no such group.
        near_repeats: further near-duplicates of a picture within one class and split.
        listed: the readable images.
        groups: ``(n,)`` int64, the group of each of them; duplicates and near-duplicates share one.
        imbalance: images of the largest class over those of the smallest; inf for an empty one,
            0 where there are no images at all.
        problems: what stops training, one line each.
        warnings: what may spoil it, one line each.
        notes: how the data was taken where it does not say all, one line each.
    """

    spec: str
    name: str
    classes: tuple[str, ...]
    counts: Mapping[str, tuple[int, ...]]
    own_splits: bool
    stored_size: int
    sizes: SizeRange | None
    modes: Mapping[str, int]
    broken: tuple[tuple[str, str], ...]
    duplicates: tuple[Duplicate, ...]
    repeats: int
    near_duplicates: tuple[Duplicate, ...]
    near_repeats: int
    listed: tuple[CheckedImage, ...] = field(repr=False)
    groups: np.ndarray = field(repr=False, compare=False)
    imbalance: float
    problems: tuple[str, ...]
    warnings: tuple[str, ...]
    notes: tuple[str, ...] = ()

    @property
    def usable(self) -> bool:
        """True where ``open_images`` takes this data set."""
        return not self.problems

    @property
    def images(self) -> int:
        """Readable images."""
        return sum(map(sum, self.counts.values()))

    def repeated_in(self, files: Sequence[str], others: Sequence[str]) -> np.ndarray:
        """Return whether each of ``files`` shares a group with one of ``others``, ``(n,)`` bool."""
        group_of = {image.file: group for image, group in zip(self.listed, self.groups, strict=True)}
        theirs = {group_of[file] for file in others if file in group_of}
        return np.array([group_of.get(file) in theirs for file in files], dtype=bool)


def check_images(
    spec: str,
    options: DataOptions = DEFAULT_OPTIONS,
    *,
    cache: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
    compared: Callable[[int, int], None] | None = None,
) -> Report:
    """Decode every image at full resolution and report on the data set.

    Args:
        spec: as for ``images.open_images``.
        options: likewise.
        cache: cache directory, ``cache_dir()`` by default.
        progress: called with (images decoded, images in all).
        compared: called with (images compared with all others, images in all).

    Raises:
        UserError: there is no such data set. Anything wrong inside it is in the report.
    """
    source = find_source(spec, options.table)
    cache = cache or cache_dir()
    looks = look_at(source, cache, progress)
    listing, seen = source.listing(), looks.seen
    broken = tuple((listing.files[index], reason) for index, reason in looks.broken.items())

    kept = list(seen)
    labels = np.array([listing.labels[index] for index in kept], dtype=np.int64)
    image_splits, split_problem, about_groups = _image_splits(source, kept, labels, options)
    listing = replace(listing, remarks=listing.remarks + about_groups)
    counts = {
        split: tuple(np.bincount(labels[image_splits == split], minlength=len(listing.classes)).tolist())
        for split in (*SPLITS, "all")
        if np.any(image_splits == split) or (split in SPLITS and split in listing.folders)
    }
    digests = source.digests(cache)
    images = tuple(
        CheckedImage(
            file=listing.files[index],
            label=listing.labels[index],
            split=split,
            pixels=seen[index].pixels,
            digest=None if digests is None else digests[index],
        )
        for index, split in zip(kept, image_splits.tolist(), strict=True)
    )
    pixels = np.unique([image.pixels for image in images], return_inverse=True)[1]
    near = group_near_duplicates(looks.hashes(), pixels, progress=compared)
    duplicates, repeats = find_duplicates(images, pixels, listing.classes)
    near_duplicates, near_repeats = find_duplicates(images, near, listing.classes, exact=False)
    per_class = np.bincount(labels, minlength=len(listing.classes)).tolist()
    imbalance = _ratio(per_class)
    problems, warnings = describe_findings(
        listing,
        len(listing.files),
        per_class,
        broken,
        duplicates,
        repeats,
        near_duplicates,
        near_repeats,
        imbalance,
        split_problem,
        sum(look.dark for look in seen.values()),
    )
    return Report(
        spec=spec,
        name=source.name,
        classes=listing.classes,
        counts=counts,
        own_splits=bool(listing.folders),
        stored_size=options.size or default_size(source.sides()),
        sizes=_sizes(list(seen.values())),
        modes=dict(Counter(look.mode for look in seen.values()).most_common()),
        broken=broken,
        duplicates=duplicates,
        repeats=repeats,
        near_duplicates=near_duplicates,
        near_repeats=near_repeats,
        listed=images,
        groups=near,
        imbalance=imbalance,
        problems=problems,
        warnings=warnings,
        notes=split_notes(listing.remarks, listing.image_splits, options),
    )


def _image_splits(
    source: Source, kept: Sequence[int], labels: np.ndarray, options: DataOptions
) -> tuple[np.ndarray, str, Remarks]:
    """Return the split of each readable image, the reason if there is none, and remarks on groups."""
    listing, remarks = source.listing(), NO_REMARKS
    given, files = ([column[index] for index in kept] for column in (listing.image_splits, listing.files))
    try:
        groups, remarks = find_groups(source, files, labels, given, listing.classes, options.group_by)
        splits = make_splits(
            labels, given, listing.classes, options.split_seed, options.val_share, groups=groups
        )
    except UserError as error:
        return np.array([split or "all" for split in given], dtype=object), str(error), remarks
    image_splits = np.empty(len(kept), dtype=object)
    for split, indices in splits.items():
        image_splits[indices] = split
    return image_splits, "", remarks


def _ratio(per_class: Sequence[int]) -> float:
    if not any(per_class):
        return 0.0
    return max(per_class) / min(per_class) if min(per_class) else float("inf")


def _sizes(seen: Sequence[Look]) -> SizeRange | None:
    if not seen:
        return None
    widths, heights = [look.width for look in seen], [look.height for look in seen]
    return SizeRange(
        min(widths),
        statistics.median(widths),
        max(widths),
        min(heights),
        statistics.median(heights),
        max(heights),
    )
