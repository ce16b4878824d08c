"""Split into train, val and test: stratified, seeded, and with every class in every split.

scikit-learn's ``train_test_split`` can leave a class of a few images out of a split altogether;
here every class gives at least one image to every split.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from core.errors import UserError
from training.data.grouped_split import split_groups

SPLITS = ("train", "val", "test")
_TEST_SHARE = 0.2
_VAL_SHARE = 0.1
_VAL_SHARE_OF_TRAIN = 1 / 8


def make_splits(
    labels: np.ndarray,
    image_splits: Sequence[str],
    classes: Sequence[str],
    seed: int,
    val_share: float | None = None,
    labels_per_class: int | None = None,
    groups: np.ndarray | None = None,
) -> dict[str, np.ndarray]:
    """Return ascending image indices of "train", "val" and "test".

    Args:
        labels: (N,) class indices, in an order that does not depend on the file system.
        image_splits: N times "train", "val" or "test" where the data set itself says so, or N times ""
            where it does not (70/10/20). Without any "val", an eighth of "train" becomes it.
        classes: class names.
        seed: of the shuffle. Each class has its own stream, so that new images in one class
            leave the split of the others as it was.
        val_share: share of the images that are not tested which becomes "val", instead of an eighth;
            without effect where ``image_splits`` has a "val".
        labels_per_class: most images of a class in "train" and "val" together, at least 2; their ratio
            stays, as far as whole images allow. A larger number keeps the images of a smaller one and
            adds to them; "test" never changes. ``None``: all.
        groups: (N,) group of each image; the images of a group get into one split, unless
            ``image_splits`` says otherwise. ``None``: each image by itself.

    Raises:
        UserError: a class has too few images, or groups, to be in every split; names it.
    """
    given = np.asarray(image_splits, dtype=object)

    def cut(among: np.ndarray, from_train: bool) -> np.ndarray:
        if groups is None:
            return _cut(labels, among, classes, seed, val_share, from_train)
        return _cut_groups(labels, among, classes, seed, val_share, from_train, groups)

    if not np.any(given != ""):
        assigned = cut(np.ones(len(labels), bool), False)
    else:
        assigned = given.copy()
        if not np.any(given == "val"):
            assigned[given == "train"] = cut(given == "train", True)[given == "train"]
    _check_every_class(labels, assigned, classes)
    if labels_per_class is not None:
        _thin(labels, assigned, seed, labels_per_class)
    return {split: np.flatnonzero(assigned == split).astype(np.int64) for split in SPLITS}


def _cut(
    labels: np.ndarray,
    among: np.ndarray,
    classes: Sequence[str],
    seed: int,
    val_share: float | None,
    from_train: bool,
) -> np.ndarray:
    assigned = np.full(len(labels), "train", dtype=object)
    needed, where = (2, "train/") if from_train else (3, "the data set")
    for index, name in enumerate(classes):
        members = np.flatnonzero(among & (labels == index))
        if len(members) < needed:
            raise UserError(
                f"class {name!r} has {len(members)} usable image{'s' * (len(members) != 1)} in "
                f"{where} and needs at least {needed}, one for each split: add images or remove "
                "the class"
            )
        shuffled = np.random.default_rng([seed, index]).permutation(members)
        if from_train:
            tests, vals = 0, max(1, round(len(members) * _VAL_SHARE_OF_TRAIN))
        else:
            tests = max(1, round(len(members) * _TEST_SHARE))
            vals = max(1, round(len(members) * _VAL_SHARE))
        if val_share is not None:
            rest = len(members) - tests
            vals = min(rest - 1, max(1, round(rest * val_share)))
        assigned[shuffled[:tests]] = "test"
        assigned[shuffled[tests : tests + vals]] = "val"
    return assigned


def _cut_groups(
    labels: np.ndarray,
    among: np.ndarray,
    classes: Sequence[str],
    seed: int,
    val_share: float | None,
    from_train: bool,
    groups: np.ndarray,
) -> np.ndarray:
    """Return the split of each image, as :func:`_cut`, with whole groups."""
    members = np.flatnonzero(among)
    numbers, group = np.unique(groups[members], return_inverse=True)
    counts = np.zeros((len(numbers), len(classes)), dtype=np.int64)
    np.add.at(counts, (group, labels[members]), 1)
    test = 0.0 if from_train else _TEST_SHARE
    usual = _VAL_SHARE_OF_TRAIN if from_train else _VAL_SHARE
    val = usual if val_share is None else (1 - test) * val_share
    shares = [share for share in (1 - val - test, val, test) if share]
    for index, name in enumerate(classes):
        if (own := int(np.count_nonzero(counts[:, index]))) < len(shares):
            raise UserError(
                f"class {name!r} is in {own} group{'s' * (own != 1)} and needs at least {len(shares)}, "
                "one for each split: choose smaller groups, add images or remove the class"
            )
    assigned = np.full(len(labels), "train", dtype=object)
    assigned[members] = np.asarray(SPLITS, dtype=object)[split_groups(counts, shares, seed)][group]
    return assigned


def _thin(labels: np.ndarray, assigned: np.ndarray, seed: int, most: int) -> None:
    """Take images out of "train" and "val", in place, until no class has more than ``most`` there."""
    for index in range(int(labels.max()) + 1):
        train, val = (
            np.flatnonzero((assigned == split) & (labels == index)) for split in ("train", "val")
        )
        if (total := len(train) + len(val)) <= most:
            continue
        vals = min(most - 1, max(1, round(most * len(val) / total)))
        rng = np.random.default_rng([seed, index, 1])
        assigned[rng.permutation(val)[vals:]] = ""
        assigned[rng.permutation(train)[most - vals :]] = ""


def _check_every_class(labels: np.ndarray, assigned: np.ndarray, classes: Sequence[str]) -> None:
    for split in SPLITS:
        present = np.bincount(labels[assigned == split], minlength=len(classes)) > 0
        for index in np.flatnonzero(~present).tolist():
            raise UserError(
                f"class {classes[index]!r} has no usable image in {split}: every class must be in "
                "train, val and test"
            )
