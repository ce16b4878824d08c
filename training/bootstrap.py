"""Intervals of macro-F1: percentile bootstrap over the test images, for one network or a pair.

Images are drawn whatever their class, so the classes' shares vary too. Keeping each class's number of
images fixed gave intervals that are a little too narrow (``docs/log.md``); a resample that misses a
rare class counts it as 0, which errs on the safe side. Images on which all networks agree in the same
way are counted, not listed, so a resample is one multinomial draw and its F1 a few sums: thousands
take a fraction of a second, and seconds where there are a thousand classes.

The intervals answer "what if other images had been in the test split?". They hold the trained weights
fixed: what another seed would have given is not in them. A network that makes no mistake on its test
images gets an interval of width 0, which is too narrow; then only more images help.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse
from numpy.typing import ArrayLike

LEVEL = 0.95
RESAMPLES = 5_000
_CELLS = 4_000_000  # counts held at a time, 32 MB
_EQUAL = 1e-12  # differences of F1 below this are rounding


@dataclass(frozen=True)
class Interval:
    """A statistic and its percentile interval.

    Attributes:
        value: on the images as they are.
        low: lower end; a ``(1 - LEVEL) / 2`` quantile over the resamples.
        high: upper end.
    """

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Comparison:
    """Two networks, or two groups of them, on the same images.

    Attributes:
        a: macro-F1 of A, the mean over its networks.
        b: macro-F1 of B.
        difference: B - A.
        p: two-sided p-value of "no difference", in 0..1.
    """

    a: Interval
    b: Interval
    difference: Interval
    p: float


def f1_interval(
    confusion: Sequence[Sequence[int]] | ArrayLike, *, resamples: int = RESAMPLES, seed: int = 0
) -> Interval:
    """Return macro-F1 of a confusion matrix, with its interval (Efron and Tibshirani 1993, chapter 13).

    Args:
        confusion: counts ``(C, C)``: ``[i][j]`` images of class ``i`` were predicted as ``j``.
        resamples: how many.
        seed: of the resampling.
    """
    counts = np.asarray(confusion, dtype=np.int64)
    cells = np.argwhere(counts > 0)
    draws = _draws(cells, counts[counts > 0], len(counts), resamples, seed)[0]
    diagonal = counts.diagonal()
    value = _macro_f1(diagonal, counts.sum(axis=1), counts.sum(axis=0))
    return _interval(float(value), draws)


def compare_f1(
    labels: np.ndarray,
    a: np.ndarray,
    b: np.ndarray,
    num_classes: int,
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Comparison:
    """Compare by paired bootstrap: every resample holds the same images for all networks of both sides.

    Inside a resample each side has the mean F1 of its networks, so where both have the same seeds the
    difference is the mean of the seeds' differences. The p-value inverts the percentile interval: it
    is below ``1 - LEVEL`` where the interval of the difference leaves out 0.

    Args:
        labels: true classes ``(n,)``.
        a: predicted classes ``(seeds, n)`` of A, in the order of ``labels``.
        b: the same of B; the number of seeds may differ.
        num_classes: C; macro-F1 averages over all, a class that never occurs counts as 0.
        resamples: how many.
        seed: of the resampling.

    Raises:
        ValueError: the numbers of images differ, or there are none.
    """
    if not len(labels) or a.shape[1:] != labels.shape or b.shape[1:] != labels.shape:
        raise ValueError(f"labels {labels.shape}, a {a.shape} and b {b.shape} must share images")
    table = np.concatenate([labels[None], a, b]).T
    patterns, counts = np.unique(table, axis=0, return_counts=True)
    draws = _draws(patterns, counts, num_classes, resamples, seed)
    values = _f1_of(counts[None].astype(float), patterns, num_classes)[:, 0]
    sides = [
        (float(values[part].mean()), draws[part].mean(axis=0))
        for part in (slice(None, len(a)), slice(len(a), None))
    ]
    difference = sides[1][1] - sides[0][1]
    tail = min(np.sum(difference <= _EQUAL), np.sum(difference >= -_EQUAL))
    return Comparison(
        a=_interval(*sides[0]),
        b=_interval(*sides[1]),
        difference=_interval(sides[1][0] - sides[0][0], difference),
        p=min(1.0, 2.0 * (1 + int(tail)) / (1 + resamples)),
    )


def _draws(
    patterns: np.ndarray, counts: np.ndarray, num_classes: int, resamples: int, seed: int
) -> np.ndarray:
    """Return macro-F1 ``(networks, resamples)`` of images drawn with replacement.

    Args:
        patterns: ``(P, 1 + networks)``: true class, then the class that each network predicts.
        counts: ``(P,)``: images of each pattern.
        num_classes: C.
        resamples: how many.
        seed: of the resampling.
    """
    rng = np.random.default_rng(seed)
    total = counts.sum()
    parts = []
    at_once = max(1, _CELLS // len(patterns))
    for start in range(0, resamples, at_once):
        size = min(at_once, resamples - start)
        drawn = rng.multinomial(total, counts / total, size=size).astype(float)
        parts.append(_f1_of(drawn, patterns, num_classes))
    return np.concatenate(parts, axis=1)


def _f1_of(drawn: np.ndarray, patterns: np.ndarray, num_classes: int) -> np.ndarray:
    """Return macro-F1 ``(networks, resamples)`` where pattern ``p`` occurs ``drawn[r, p]`` times."""
    truth, *guesses = patterns.T
    support = _by_class(drawn, truth, num_classes)
    scores = []
    for guess in guesses:
        right = truth == guess
        hits = _by_class(drawn[:, right], truth[right], num_classes)
        scores.append(_macro_f1(hits, support, _by_class(drawn, guess, num_classes)))
    return np.stack(scores)


def _by_class(drawn: np.ndarray, classes: np.ndarray, num_classes: int) -> np.ndarray:
    """Sum the columns of ``(R, P)`` that belong to each class, ``(P,)``: ``(R, C)``."""
    columns = np.arange(len(classes))
    ones = np.ones(len(classes))
    membership = scipy.sparse.csr_array((ones, (classes, columns)), shape=(num_classes, len(classes)))
    return np.asarray(membership @ drawn.T).T


def _macro_f1(hits: np.ndarray, support: np.ndarray, predicted: np.ndarray) -> Any:
    """Average ``2 TP / (TP + FN + TP + FP)`` over the last axis; 0 where a class never occurs."""
    return np.mean(2 * hits / np.maximum(support + predicted, 1), axis=-1)


def _interval(value: float, draws: np.ndarray) -> Interval:
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(draws, [tail, 1 - tail])
    return Interval(value, float(low), float(high))
