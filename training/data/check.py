"""Check of a data set before training: its content, its problems, and warnings."""

from __future__ import annotations

import hashlib
import statistics
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from core.cache import cache_dir
from core.errors import UserError
from core.runtime import ordered_map
from training.data.decode import BrokenImageError, quiet_pillow
from training.data.findings import DARK, describe_findings
from training.data.groups import find_groups
from training.data.images import DEFAULT_OPTIONS, DataOptions, split_notes
from training.data.listing import NO_REMARKS, Listing, Remarks, Source
from training.data.pixels import default_size
from training.data.sources import find_source
from training.data.split import PARTS, make_splits
from training.data.upright import decoded


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
class Duplicate:
    """Files that show exactly the same picture.

    Attributes:
        files: relative names.
        classes: the classes that they are in; more than one is a labelling error.
        parts: the splits that they are in; more than one is leakage.
        same_file: the files are equal byte for byte, not only in their pixels.
    """

    files: tuple[str, ...]
    classes: tuple[str, ...]
    parts: tuple[str, ...]
    same_file: bool


@dataclass(frozen=True)
class Report:
    """Result of :func:`check_images`.

    Attributes:
        spec, name, classes: as in ``images.ImageSet``.
        counts: part → readable images of each class, in class order. Where Minnow splits and
            cannot (a class is too small), there is one part, "all".
        own_splits: the data set brings its own parts.
        stored_size: side in pixels that images will be stored at.
        sizes: None where no image can be read.
        modes: Pillow mode ("RGB", "L", "CMYK", …) → images.
        broken: (file, reason) of every file that cannot be read.
        duplicates: groups across classes or across splits.
        repeats: further copies of a picture within one class and split.
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


@dataclass(frozen=True)
class _Seen:
    width: int
    height: int
    mode: str
    pixels: str
    dark: bool


def check_images(
    spec: str,
    options: DataOptions = DEFAULT_OPTIONS,
    *,
    cache: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Report:
    """Decode every image at full resolution and report on the data set.

    Raises:
        UserError: there is no such data set. Anything wrong inside it is in the report.
    """
    source = find_source(spec, options.table)
    cache = cache or cache_dir()
    source.content(cache)  # downloads what must be downloaded; remembers the digests of files
    listing = source.listing()
    total = len(listing.files)
    seen: dict[int, _Seen] = {}
    broken: list[tuple[str, str]] = []
    with quiet_pillow():
        looks = ordered_map(
            lambda index: _look(source, index), total, threads=None if source.parallel else 1
        )
        for index, look in enumerate(looks):
            if isinstance(look, _Seen):
                seen[index] = look
            else:
                broken.append((listing.files[index], look))
            if progress is not None:
                progress(index + 1, total)

    kept = sorted(seen)
    labels = np.array([listing.labels[index] for index in kept], dtype=np.int64)
    parts, split_problem, about_groups = _parts(source, kept, labels, options)
    listing = replace(listing, remarks=listing.remarks + about_groups)
    counts = {
        part: tuple(np.bincount(labels[parts == part], minlength=len(listing.classes)).tolist())
        for part in (*PARTS, "all")
        if np.any(parts == part) or (part in PARTS and part in listing.folders)
    }
    duplicates, repeats = _duplicates(listing, kept, parts, seen, source.digests(cache))
    per_class = np.bincount(labels, minlength=len(listing.classes)).tolist()
    imbalance = _ratio(per_class)
    problems, warnings = describe_findings(
        listing,
        total,
        per_class,
        broken,
        duplicates,
        repeats,
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
        broken=tuple(broken),
        duplicates=duplicates,
        repeats=repeats,
        imbalance=imbalance,
        problems=problems,
        warnings=warnings,
        notes=split_notes(listing.remarks, listing.parts, options),
    )


def _look(source: Source, index: int) -> _Seen | str:
    try:
        image = source.load(index)
        mode = image.mode
        with decoded(image) as picture:
            digest = hashlib.blake2b(repr(picture.size).encode(), digest_size=16)
            brightest = 0
            for _, band in picture.bands():
                digest.update(band.tobytes())
                brightest = max(brightest, int(np.asarray(band).max(initial=0)))
    except BrokenImageError as error:
        return str(error)
    return _Seen(*picture.size, mode, digest.hexdigest(), brightest < DARK)


def _parts(
    source: Source, kept: Sequence[int], labels: np.ndarray, options: DataOptions
) -> tuple[np.ndarray, str, Remarks]:
    """Return the split of each readable image, the reason if there is none, and remarks on groups."""
    listing, remarks = source.listing(), NO_REMARKS
    given, files = ([column[index] for index in kept] for column in (listing.parts, listing.files))
    try:
        groups, remarks = find_groups(source, files, labels, given, listing.classes, options.group_by)
        splits = make_splits(
            labels, given, listing.classes, options.split_seed, options.val_share, groups=groups
        )
    except UserError as error:
        return np.array([part or "all" for part in given], dtype=object), str(error), remarks
    parts = np.empty(len(kept), dtype=object)
    for part, indices in splits.items():
        parts[indices] = part
    return parts, "", remarks


def _duplicates(
    listing: Listing,
    kept: Sequence[int],
    parts: np.ndarray,
    seen: Mapping[int, _Seen],
    digests: Sequence[str] | None,
) -> tuple[tuple[Duplicate, ...], int]:
    part_of = dict(zip(kept, parts, strict=True))
    groups: dict[str, list[int]] = defaultdict(list)
    for index in kept:
        groups[seen[index].pixels].append(index)
    found, repeats = [], 0
    for group in groups.values():
        classes = sorted({listing.labels[index] for index in group})
        where = {part_of[index] for index in group}
        if len(classes) > 1 or len(where) > 1:
            found.append(
                Duplicate(
                    files=tuple(listing.files[index] for index in group),
                    classes=tuple(listing.classes[label] for label in classes),
                    parts=tuple(part for part in (*PARTS, "all") if part in where),
                    same_file=digests is not None and len({digests[i] for i in group}) == 1,
                )
            )
        else:
            repeats += len(group) - 1
    return tuple(found), repeats


def _ratio(per_class: Sequence[int]) -> float:
    if not any(per_class):
        return 0.0
    return max(per_class) / min(per_class) if min(per_class) else float("inf")


def _sizes(seen: Sequence[_Seen]) -> SizeRange | None:
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
