"""Groups of images that stay in one split: photos of one object, scene or burst."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from core.errors import UserError, named, one_line, short
from training.data.listing import NO_REMARKS, Remarks, Source
from training.data.split import SPLITS

_MOST = 0.5  # share of a class in one group, above which its split cannot keep the proportions
_LONGEST = 1000  # characters of a regular expression


def find_groups(
    source: Source,
    files: Sequence[str],
    labels: np.ndarray,
    image_splits: Sequence[str],
    classes: Sequence[str],
    group_by: str | None,
) -> tuple[np.ndarray | None, Remarks]:
    """Return the group of each image, and how many groups there are.

    Args:
        source: of the images.
        files: N names of images, some or all of the listing.
        labels: (N,) class of each image.
        image_splits: N times the split that the data set itself gives an image, or N times "".
        classes: class names.
        group_by: a column of the source, else a regular expression: its first group, or the whole match,
            in the name of an image is the image's group. An image without one is a group of its own.
            ``None``: there are no groups.

    Returns:
        (N,) int64 numbers of groups, from 0, ``None`` without groups; and a note on them, with warnings
        about those that spoil a split.

    Raises:
        UserError: no such column and no regular expression, or it gives no image a group.
    """
    if group_by is None or not files:
        return None, NO_REMARKS
    column = source.column(group_by)
    if column is None:
        group_of = _matches(files, group_by)
    else:
        value_of = dict(zip(source.listing().files, column, strict=True))
        group_of = [value_of[file] for file in files]
    if not any(group_of):
        if column is not None:
            raise UserError(f"group_by {short(group_by)} is an empty column: give another one")
        columns = named([repr(name) for name in source.columns()])
        there = f"a column ({columns})" if columns else "a column of a table"
        raise UserError(
            f"group_by {short(group_by)} matches no image, as in {short(files[0])}: give {there}, or a "
            "regular expression"
        )
    names = sorted({name for name in group_of if name})
    number = {name: index for index, name in enumerate(names)}
    alone = iter(range(len(names), len(names) + len(files)))
    groups = np.array([number[name] if name else next(alone) for name in group_of], dtype=np.int64)
    return groups, _remarks(names, groups, labels, image_splits, classes)


def _matches(files: Sequence[str], group_by: str) -> list[str]:
    """Return what an expression finds in each name, "" for nothing."""
    if len(group_by) > _LONGEST:
        raise UserError(f"group_by has {len(group_by):,} characters: give at most {_LONGEST:,}")
    try:
        pattern = re.compile(group_by)
    except (re.error, RecursionError, OverflowError) as error:
        raise UserError(
            f"group_by {short(group_by)} is no column and no regular expression ({one_line(error)})"
        ) from None
    matches = (pattern.search(file) for file in files)
    return [(match[1] if pattern.groups else match[0]) or "" if match else "" for match in matches]


def _remarks(
    names: Sequence[str],
    groups: np.ndarray,
    labels: np.ndarray,
    image_splits: Sequence[str],
    classes: Sequence[str],
) -> Remarks:
    """Return a note on the groups, and warnings; the groups beyond ``names`` are single images."""
    count = len(names)
    sizes = np.bincount(groups)[:count]
    largest = int(sizes.argmax())
    alone = int((groups >= count).sum())
    note = f"{count:,} groups; images of the largest, {short(names[largest])}: {sizes[largest]:,}"
    if alone:
        note += f"; images in no group, each for itself: {alone:,}"
    warnings = []
    if sizes[largest] == 1:
        warnings.append("no group has two images, so groups change nothing: choose larger ones")
    dominated = []
    for label, name in enumerate(classes):
        own = np.bincount(groups[labels == label], minlength=count)
        most = int(own[:count].argmax())
        if own[most] > max(1, _MOST * own.sum()):
            dominated.append(f"{name!r} ({own[most]:,} of {own.sum():,} in {short(names[most])})")
    if dominated:
        warnings.append(
            "one group holds most of a class, whose shares of the splits are then far from those of the "
            f"others: {named(dominated)}: choose smaller groups"
        )
    given = np.asarray(image_splits, dtype=object)
    held = [np.bincount(groups[given == split], minlength=count)[:count] > 0 for split in SPLITS]
    across = [short(names[group]) for group in np.flatnonzero(np.sum(held, axis=0) > 1).tolist()]
    if across:
        warnings.append(
            f"groups in more than one split of the data set itself ({len(across):,}): {named(across)}: "
            "scores will look better than they are"
        )
    return Remarks((note,), tuple(warnings))
