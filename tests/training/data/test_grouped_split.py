"""Groups stay whole, classes stay in proportion, the seed decides."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from core.errors import UserError
from training.data.coco.annotations import read_coco
from training.data.coco.categories import load_map
from training.data.grouped_split import parse_shares, split_groups


def _groups(seed: int, groups: int = 300, classes: int = 5) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.poisson(rng.dirichlet(np.ones(classes)) * 3, (groups, classes))


@pytest.mark.parametrize("seed", range(8))
def test_shares_of_every_class(seed: int) -> None:
    counts, shares = _groups(seed), np.array([0.7, 0.1, 0.2])
    part = split_groups(counts, shares, seed)
    assert part.shape == (300,) and set(part) <= {0, 1, 2}
    held = np.array([counts[part == p].sum(axis=0) for p in range(3)])
    largest = counts.max(axis=0)
    assert np.all(np.abs(held - np.outer(shares, counts.sum(axis=0))) <= largest + 1)


@pytest.mark.parametrize("seed", range(8))
def test_a_class_in_as_many_groups_as_parts_is_in_every_part(seed: int) -> None:
    counts = _groups(seed)
    rare = np.zeros((300, 2), dtype=int)
    rare[[3, 50, 200], 0], rare[[7, 90], 1] = 1, 4
    counts = np.hstack([counts, rare])
    part = split_groups(counts, (0.7, 0.1, 0.2), seed)
    held = np.array([counts[part == p].sum(axis=0) for p in range(3)])
    assert np.all(held[:, (counts > 0).sum(axis=0) >= 3] > 0) and np.all(held[:, 5] == 1)
    assert sorted(held[:, 6].tolist()) == [0, 4, 4]  # two groups cannot be in three parts


def test_the_seed_decides() -> None:
    counts = _groups(0)
    first, same, other = (split_groups(counts, (0.8, 0.2), seed) for seed in (0, 0, 1))
    assert np.array_equal(first, same) and not np.array_equal(first, other)


def test_taco_by_photo(taco: Path) -> None:
    classes, coco = load_map("taco6"), read_coco(taco)
    names = sorted({classes.class_of(name) for name in coco.categories} - {None})
    rows = [
        [sum(classes.class_of(a.category) == n for a in p.annotations) for n in names]
        for p in coco.photos
    ]
    counts = np.array([row for row in rows if any(row)])
    part = split_groups(counts, (0.7, 0.1, 0.2), 0)
    held = np.array([counts[part == p].sum(axis=0) for p in range(3)]) / counts.sum(axis=0)
    assert np.abs(held - np.array([[0.7], [0.1], [0.2]])).max() < 0.02


def test_shares() -> None:
    assert parse_shares("80/20") == {"train": 0.8, "val": 0.2}
    assert parse_shares("0.7/0.1/0.2") == pytest.approx({"train": 0.7, "val": 0.1, "test": 0.2})
    for text in ("", "100", "80/30", "80/10/5/5", "100/0", "120/-20", "80-20", "nan/nan", "a/b"):
        with pytest.raises(UserError, match="80/20"):
            parse_shares(text)
