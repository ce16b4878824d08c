"""Splits that a data set names itself: train, val and test in any spelling, or numbered folds."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from core.errors import UserError, named
from training.data.listing import NO_REMARKS, Remarks
from training.data.split import SPLITS
from training.data.split_folders import complete_splits, splits_by_name

_SETTING = "data.table.test_fold"
_WHOLE = re.compile(r"([+-]?\d+)(\.0*)?")  # 1.0 as well: numbers beside gaps are so written


@dataclass(frozen=True)
class NamedSplits:
    """Splits of a data set.

    Attributes:
        roles: name of a split → train, val or test, "" where Minnow splits; without those that mean none.
        words: role → the split in words; empty where Minnow splits.
        problems: what makes the data set unusable, one line each.
        remarks: how the splits were taken.
    """

    roles: Mapping[str, str]
    words: Mapping[str, str]
    problems: tuple[str, ...] = ()
    remarks: Remarks = NO_REMARKS


def splits_of(names: Collection[str], test_fold: int | None = None) -> NamedSplits:
    """Return what each split is for.

    Args:
        names: of the splits with labelled images, not empty; whole numbers are folds.
        test_fold: fold that is tested; ``None``: the last.

    Raises:
        UserError: there is no such fold.
    """
    folds = {name: int(match[1]) for name in names if (match := _WHOLE.fullmatch(name))}
    if names and len(folds) == len(names):
        return _folds(folds, test_fold)
    splits = _by_name(names)
    return splits if test_fold is None else _unused(splits)


def splits_left_out(reason: str, names: Collection[str]) -> tuple[str, ...]:
    """Return the line about splits that are not used; none if there are none."""
    listed = named([repr(name) for name in sorted(names)])
    return (f"splits that are left out, {reason}: {listed}",) if names else ()


def _by_name(names: Collection[str]) -> NamedSplits:
    assigned = splits_by_name(sorted(names))
    if not assigned:
        return NamedSplits({}, {})
    of_role = {role: name for name, role in assigned.items()}
    ordered = sorted(of_role.items(), key=lambda item: SPLITS.index(item[0]))
    settled = complete_splits(dict(ordered), lambda name: f"split {name!r}")
    final = {assigned[name]: role for role, name in settled.folders.items()}
    return NamedSplits(
        {name: final[role] for name, role in assigned.items()},
        {role: f"split {name!r}" for role, name in settled.given.items()},
        settled.problems,
        settled.remarks,
    )


def _folds(folds: Mapping[str, int], test_fold: int | None) -> NamedSplits:
    numbers = sorted(set(folds.values()))
    if test_fold is not None and test_fold not in numbers:
        raise UserError(f"{_SETTING} is {test_fold}: there are the folds {', '.join(map(str, numbers))}")
    if len(numbers) == 1:
        return NamedSplits(dict.fromkeys(folds, ""), {})
    test = numbers[-1] if test_fold is None else test_fold
    val = numbers[numbers.index(test) - 1] if len(numbers) > 2 else None  # before the first, the last
    words = {"train": "the other folds", "test": f"fold {test}"}
    if val is not None:
        words["val"] = f"fold {val}"
    validates = "" if val is None else f", fold {val} validates"
    note = f"fold {test} tests{validates}, the others train; {_SETTING} chooses another"
    roles = {
        name: "test" if number == test else "val" if number == val else "train"
        for name, number in folds.items()
    }
    return NamedSplits(roles, words, remarks=Remarks((note,)))


def _unused(splits: NamedSplits) -> NamedSplits:
    line = f"{_SETTING} changes nothing: there are no numbered folds"
    remarks = splits.remarks + Remarks((line,))
    return NamedSplits(splits.roles, splits.words, splits.problems, remarks)
