"""Rank correlation of predicted and true scores of the same networks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import kendalltau

_RESAMPLES = 5_000


@dataclass(frozen=True)
class Tau:
    """Kendall's rank correlation, with the 5 % and 95 % quantiles of its bootstrap over networks.

    Attributes:
        value: tau-b (Kendall 1945), -1 to 1; NaN where one list is constant.
        low: 5 % quantile.
        high: 95 % quantile.
        n: networks.
    """

    value: float
    low: float
    high: float
    n: int

    def __str__(self) -> str:
        return f"{self.value:.2f} ({self.low:.2f} to {self.high:.2f})"


def tau(scores: Sequence[float], truth: Sequence[float], *, seed: int = 0) -> Tau:
    """Return Kendall's tau between two lists of scores of the same networks, with its interval.

    Raises:
        ValueError: they differ in length, or hold fewer than two networks.
    """
    if len(scores) != len(truth) or len(scores) < 2:
        raise ValueError(f"needs two lists of the same two or more networks: {len(scores)}, {len(truth)}")
    a, b = np.asarray(scores, dtype=float), np.asarray(truth, dtype=float)
    rng = np.random.default_rng(seed)
    drawn = (rng.integers(len(a), size=len(a)) for _ in range(_RESAMPLES))
    resampled = np.array([kendalltau(a[at], b[at]).statistic for at in drawn])
    ranked = resampled[~np.isnan(resampled)]
    low, high = np.quantile(ranked, (0.05, 0.95)) if len(ranked) else (np.nan, np.nan)
    return Tau(float(kendalltau(a, b).statistic), float(low), float(high), len(a))


def better_half(scores: Sequence[float], truth: Sequence[float]) -> tuple[list[float], list[float]]:
    """Return both lists without the networks in the worse half by true score."""
    kept = np.argsort(-np.asarray(truth), kind="stable")[: (len(truth) + 1) // 2]
    return [scores[i] for i in kept], [truth[i] for i in kept]


def agreement(scores: np.ndarray, truth: np.ndarray) -> float:
    """Return the mean rank correlation (Kendall's tau) of one training with the mean of the others.

    What it lacks to 1 is noise, which no evaluator can rank.

    Args:
        scores: ``(networks, trainings)``; one training's column is compared.
        truth: ``(networks, trainings)``; with the mean of the other trainings' columns.

    Raises:
        ValueError: they differ in shape, or have fewer than two networks or trainings.
    """
    if scores.shape != truth.shape or scores.ndim != 2 or min(scores.shape) < 2:
        raise ValueError(f"needs two or more networks and trainings: {scores.shape}, {truth.shape}")
    others = [np.delete(truth, one, axis=1).mean(axis=1) for one in range(truth.shape[1])]
    return float(np.mean([kendalltau(scores[:, i], other).statistic for i, other in enumerate(others)]))
