"""Kendall's tau of two lists, its interval, and the better half."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import pytest
from scipy.stats import kendalltau

from minnow.ranking import _resampled_tau, agreement, better_half, tau


def test_agreement_and_its_opposite():
    scores = [0.1, 0.5, 0.3, 0.9]
    same, turned = tau(scores, scores), tau(scores, [-score for score in scores])
    assert (same.value, same.low, same.high, same.n) == (1.0, 1.0, 1.0, 4)
    assert (turned.value, turned.high) == (-1.0, -1.0)


def test_against_counting_pairs():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=12), rng.normal(size=12)
    agree = [np.sign(a[i] - a[j]) * np.sign(b[i] - b[j]) for i, j in combinations(range(12), 2)]
    found = tau(a.tolist(), b.tolist())
    assert found.value == pytest.approx(np.mean(agree))
    assert found.low < found.value < found.high
    assert tau(a.tolist(), b.tolist()) == found


def test_the_interval_is_that_of_scipy_on_repeated_networks():
    """Also with ties, within a list and of a network with itself."""
    rng = np.random.default_rng(1)
    a, b = rng.integers(5, size=9).astype(float), rng.normal(size=9)
    found = tau(a.tolist(), b.tolist())
    drawn = [rng.integers(9, size=9) for _ in range(800)]
    expected = np.quantile([kendalltau(a[at], b[at]).statistic for at in drawn], (0.05, 0.95))
    assert (found.low, found.high) == pytest.approx(expected, abs=0.06)
    counts = np.array([np.bincount(at, minlength=9) for at in drawn[:50]], dtype=float)
    exact = [kendalltau(a[at], b[at]).statistic for at in drawn[:50]]
    assert _resampled_tau(a, b, counts) == pytest.approx(exact)


def test_nothing_to_rank():
    found = tau([1.0, 1.0, 1.0], [1.0, 2.0, 3.0])
    assert math.isnan(found.value) and math.isnan(found.low)
    with pytest.raises(ValueError, match="two or more"):
        tau([1.0], [1.0])


def test_the_better_half_is_that_of_the_truth():
    scores, truth = [4.0, 3.0, 2.0, 1.0, 0.0], [0.1, 0.9, 0.5, 0.2, 0.7]
    assert better_half(scores, truth) == ([3.0, 0.0, 2.0], [0.9, 0.7, 0.5])


def test_one_training_against_the_others():
    truth = np.array([[1.0, 1.0, 1.0], [2.0, 2.0, 2.0], [3.0, 3.0, 3.0]])
    assert agreement(truth, truth) == 1.0
    turned = truth.copy()
    turned[:, 0] = [3.0, 2.0, 1.0]  # against the means of two agreeing ones -1, the other two 1 each
    assert agreement(turned, truth) == pytest.approx((-1 + 1 + 1) / 3)
    with pytest.raises(ValueError, match="two or more"):
        agreement(truth[:, :1], truth[:, :1])
