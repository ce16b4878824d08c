"""Splits that keep a group together (all crops of a photo) and the classes in proportion.

Groups are dealt out greedily, those of the rarest class first, as in iterative stratification:
Sechidis et al. 2011, https://doi.org/10.1007/978-3-642-23808-6_10.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from core.errors import UserError

_SPLITS = {2: ("train", "val"), 3: ("train", "val", "test")}


def parse_shares(text: str) -> dict[str, float]:
    """Parse split → share of ``80/20`` (train/val) or ``70/10/20`` (train/val/test).

    Raises:
        UserError: not two or three numbers above 0 that make 100, or 1.
    """
    try:
        numbers = [float(number) for number in text.split("/")]
    except ValueError:
        numbers = []
    total = sum(numbers)
    good = len(numbers) in _SPLITS and min(numbers) > 0 and math.isfinite(total)
    if not good or min(abs(total - 1), abs(total / 100 - 1)) > 1e-9:
        raise UserError(f"split {text!r}: write it as 80/20 (train/val) or 70/10/20 (train/val/test)")
    return {split: n / total for split, n in zip(_SPLITS[len(numbers)], numbers, strict=True)}


def split_groups(counts: np.ndarray, shares: Sequence[float], seed: int) -> np.ndarray:
    """Deal groups out to splits.

    A class that is in as many groups as there are splits gets into every split, wherever the groups of
    rarer classes leave that open. After that a group goes where it is missed most: where it lowers
    ``sum over splits and classes of (held - wanted)^2 / wanted`` the most.

    Args:
        counts: (G, C) members of each class in each group, 0 or more.
        shares: P of them, together 1.
        seed: decides between equals; the same seed gives the same split.

    Returns:
        (G,) split of each group, in 0..P-1.
    """
    groups, _ = counts.shape
    order = np.random.default_rng(seed).permutation(groups)  # ties go to whoever is first in it
    shuffled = counts[order].astype(float)
    wanted = np.outer(shares, shuffled.sum(axis=0))
    held = np.zeros_like(wanted)
    split_of = np.full(groups, -1)
    rarest_first = np.argsort((shuffled > 0).sum(axis=0), kind="stable")

    def give(group: int, to: int) -> None:
        split_of[group] = to
        held[to] += shuffled[group]

    for label in rarest_first:
        for to in range(len(shares)):
            free = np.flatnonzero((split_of < 0) & (shuffled[:, label] > 0))
            if not held[to, label] and len(free):
                give(int(free[np.argmin(shuffled[free].sum(axis=1))]), to)
    with np.errstate(divide="ignore"):
        weight = np.where(wanted > 0, 1 / wanted, 0.0)
    for label in rarest_first:
        free = np.flatnonzero((split_of < 0) & (shuffled[:, label] > 0))
        for group in free[np.argsort(-shuffled[free, label], kind="stable")].tolist():
            more = shuffled[group]
            gain = ((2 * (wanted - held) * more - more**2) * weight).sum(axis=1)
            give(group, int(np.argmax(gain)))
    split_of[split_of < 0] = 0  # groups without members
    result = np.empty(groups, dtype=np.int64)
    result[order] = split_of
    return result
