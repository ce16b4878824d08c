"""Splits are stratified, seeded, disjoint, and leave no class out."""

from __future__ import annotations

import numpy as np
import pytest

from core.errors import UserError
from training.data.split import SPLITS, make_splits

LABELS = np.repeat([0, 1, 2], [100, 40, 3])
CLASSES = ("a", "b", "c")


def _counts(splits: dict[str, np.ndarray], labels: np.ndarray = LABELS) -> dict[str, list[int]]:
    return {part: np.bincount(labels[splits[part]], minlength=3).tolist() for part in SPLITS}


def test_seventy_ten_twenty_of_every_class() -> None:
    splits = make_splits(LABELS, [""] * 143, CLASSES, 0)
    assert _counts(splits) == {"train": [70, 28, 1], "val": [10, 4, 1], "test": [20, 8, 1]}
    together = np.concatenate([splits[part] for part in SPLITS])
    assert sorted(together) == list(range(143))
    assert all(np.all(np.diff(splits[part]) > 0) for part in SPLITS)


def test_seed_decides() -> None:
    first, same, other = (make_splits(LABELS, [""] * 143, CLASSES, s) for s in (0, 0, 1))
    assert all(np.array_equal(first[part], same[part]) for part in SPLITS)
    assert not np.array_equal(first["test"], other["test"])


def test_a_grown_class_leaves_the_others_as_they_were() -> None:
    grown = np.concatenate([LABELS, np.full(20, 2)])
    before = make_splits(LABELS, [""] * 143, CLASSES, 0)
    after = make_splits(grown, [""] * 163, CLASSES, 0)
    for part in SPLITS:
        assert np.array_equal(before[part][LABELS[before[part]] < 2], after[part][grown[after[part]] < 2])


def test_val_is_an_eighth_of_train_where_only_test_is_given() -> None:
    labels = np.tile(np.repeat([0, 1], [80, 2]), 2)
    parts = ["train"] * 82 + ["test"] * 82
    splits = make_splits(labels, parts, ("a", "b"), 0)
    assert np.array_equal(splits["test"], np.arange(82, 164))
    assert np.bincount(labels[splits["val"]]).tolist() == [10, 1]
    assert np.bincount(labels[splits["train"]]).tolist() == [70, 1]


def test_given_parts_are_kept() -> None:
    parts = ["train", "val", "test"] * 2
    splits = make_splits(np.array([0, 0, 0, 1, 1, 1]), parts, ("a", "b"), 7)
    assert [splits[part].tolist() for part in SPLITS] == [[0, 3], [1, 4], [2, 5]]


@pytest.mark.parametrize(
    ("labels", "parts", "message"),
    [
        ([0] * 5 + [1] * 2, [""] * 7, "class 'b' has 2 usable images in the data set"),
        ([0, 0, 1, 0, 1], ["train"] * 3 + ["test"] * 2, "class 'b' has 1 usable image in train/"),
        ([0, 1, 0, 0, 1], ["train"] * 2 + ["val"] + ["test"] * 2, "'b' has no usable image in val"),
    ],
)
def test_too_few(labels: list[int], parts: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        make_splits(np.array(labels), parts, ("a", "b"), 0)


@pytest.mark.parametrize("share", [0.01, 0.5, 0.99])
def test_any_share_leaves_every_class_in_every_part(share: float) -> None:
    for parts in ([""] * 143, ["train"] * 143 + ["test"] * 3):
        labels = LABELS if len(parts) == 143 else np.concatenate([LABELS, [0, 1, 2]])
        splits = make_splits(labels, parts, CLASSES, 0, share)
        counts = _counts(splits, labels)
        assert min(map(min, counts.values())) >= 1
        rest = counts["train"][0] + counts["val"][0]
        assert counts["val"][0] == max(1, round(rest * share))


@pytest.mark.parametrize("own", ["", "train", "val"])
def test_labels_per_class_thins_all_but_the_test_images(own: str) -> None:
    labels, parts = LABELS, [""] * 143
    if own:
        labels = np.concatenate([LABELS, [0, 1, 2], [0, 1, 2]])
        parts = ["train"] * 143 + ["test"] * 3 + [own] * 3
    whole = make_splits(labels, parts, CLASSES, 0)
    smaller = None
    for most in (2, 3, 5, 16, 40, 1000):
        splits = make_splits(labels, parts, CLASSES, 0, labels_per_class=most)
        counts, all_counts = _counts(splits, labels), _counts(whole, labels)
        assert np.array_equal(splits["test"], whole["test"])
        for index in range(3):
            together, available = (of["train"][index] + of["val"][index] for of in (counts, all_counts))
            assert together == min(most, available)
            assert counts["train"][index] >= 1 and counts["val"][index] >= 1
            exact = together * all_counts["val"][index] / available
            assert abs(counts["val"][index] - exact) < 1
        for part in ("train", "val"):
            assert set(splits[part]) <= set(whole[part])
            assert smaller is None or set(smaller[part]) <= set(splits[part])
        smaller = splits


def test_labels_per_class_follows_the_seed() -> None:
    parts = ["train"] * 140 + ["val", "test"] * 3
    labels = np.concatenate([LABELS[:140], [0, 0, 1, 1, 2, 2]])
    labels[139] = 2
    first, same, other = (
        make_splits(labels, parts, CLASSES, seed, labels_per_class=9) for seed in (0, 0, 1)
    )
    assert np.array_equal(first["train"], same["train"])
    assert not np.array_equal(first["train"], other["train"])
