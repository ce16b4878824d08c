"""Findings of a data check in plain words: problems stop training, warnings may spoil it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from core.errors import named
from training.data.listing import Listing
from training.data.looks import DARK
from training.data.pixels import MAX_BROKEN

_FEW = 20  # images of a class, below which a score on its test share is mostly luck
_IMBALANCED = 5.0


class _Group(Protocol):
    @property
    def classes(self) -> tuple[str, ...]: ...

    @property
    def splits(self) -> tuple[str, ...]: ...


def describe_findings(
    listing: Listing,
    total: int,
    per_class: Sequence[int],
    broken: Sequence[tuple[str, str]],
    duplicates: Sequence[_Group],
    repeats: int,
    near_duplicates: Sequence[_Group],
    near_repeats: int,
    imbalance: float,
    split_problem: str,
    dark: int,
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the problems and the warnings, one line each.

    Args:
        listing: of the data set.
        total: images listed, readable or not.
        per_class: readable images of each class.
        broken: (file, reason).
        duplicates: as in ``check.Report``.
        repeats: as in ``check.Report``.
        near_duplicates: as in ``check.Report``.
        near_repeats: as in ``check.Report``.
        imbalance: as in ``check.Report``.
        split_problem: why the images cannot be split; "" where they can.
        dark: images without any value of :data:`DARK` or more.
    """
    problems = list(listing.problems)
    if len(broken) > MAX_BROKEN * total:
        problems.append(
            f"{len(broken)} of {total} images are broken, more than {MAX_BROKEN:.0%}: remove or mend them"
        )
    if split_problem and not problems:
        problems.append(split_problem)

    warnings = list(listing.remarks.warnings)
    if broken and len(broken) <= MAX_BROKEN * total:
        warnings.append(f"{_images(len(broken))} cannot be read and will be skipped")
    if listing.ignored:
        kinds = ", ".join(f"{ending} ({count})" for ending, count in listing.ignored[:5])
        warnings.append(f"files that are not read as images are ignored: {kinds}")
    across_classes = sum(len(group.classes) > 1 for group in duplicates)
    if across_classes:
        warnings.append(f"{_pictures(across_classes)} in more than one class: at most one label is right")
    across_splits = sum(len(group.splits) > 1 for group in duplicates)
    if across_splits:
        warnings.append(
            f"{_pictures(across_splits)} in more than one split: scores will look better "
            "than they are; keep one copy of each"
        )
    warnings += _near(near_duplicates, near_repeats)
    if dark:
        warnings.append(
            f"almost black: {_images(dark)} without a value above {DARK - 1} of 255; where files of 16 "
            "bits hold 12 or 8, scale all of them up by the same factor"
        )
    if repeats:
        warnings.append(f"{_images(repeats)} repeat another of the same class and split")
    if _IMBALANCED <= imbalance < float("inf"):
        warnings.append(
            f"the largest class has {imbalance:.1f} times the images of the smallest: judge by "
            "macro-F1, not accuracy"
        )
    few = [
        f"{name!r} ({count})"
        for name, count in zip(listing.classes, per_class, strict=True)
        if 0 < count < _FEW
    ]
    if few:
        warnings.append(f"fewer than {_FEW} images in {named(few)}: the scores will be noisy")
    return tuple(problems), tuple(warnings)


def _near(groups: Sequence[_Group], repeats: int) -> list[str]:
    """Return the warnings about near-duplicates."""
    lines = []
    if contradicting := sum(len(group.classes) > 1 for group in groups):
        lines.append(
            f"near-duplicates in more than one class: {_groups(contradicting)}; at most one label of "
            "each is right: correct the others, or remove them"
        )
    if straddling := sum(len(group.splits) > 1 for group in groups):
        lines.append(
            f"near-duplicates in more than one split: {_groups(straddling)}; scores will look better "
            "than they are: keep one image of each, or all of them in one split"
        )
    if repeats:
        lines.append(f"{_images(repeats)} nearly repeat another of the same class and split")
    return lines


def _groups(count: int) -> str:
    return f"{count} group{'s' * (count != 1)}"


def _images(count: int) -> str:
    return f"{count} image{'s' * (count != 1)}"


def _pictures(count: int) -> str:
    return "1 picture is" if count == 1 else f"{count} pictures are"
