"""Intervals and p-values against hand counts, a plain loop, and simulated truth."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix, f1_score

from training.bootstrap import compare_f1, f1_interval


def predictions(rng: np.random.Generator, labels: np.ndarray, skill: float, classes: int) -> np.ndarray:
    """Right with probability ``skill``, else any class."""
    return np.where(rng.random(len(labels)) < skill, labels, rng.integers(classes, size=len(labels)))


def macro_f1(labels: np.ndarray, guess: np.ndarray, classes: int) -> float:
    return f1_score(labels, guess, labels=range(classes), average="macro", zero_division=0)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def test_a_confusion_worked_by_hand():
    """Three images, 27 equally likely resamples; only one of three is wrong, a 0 taken for a 1.

    F1 as it is: 2/3 and 2/3. One resample in 27 (3.7 %) holds nothing but the mistake: 0. Six hold both
    classes and no mistake: 1.
    """
    found = f1_interval([[1, 1], [0, 1]])
    assert found.value == pytest.approx(2 / 3)
    assert (found.low, found.high) == pytest.approx((0.0, 1.0))


def test_every_resample_of_four_images():
    """All 256 of them, by scikit-learn."""
    labels, guess = np.array([0, 0, 1, 1]), np.array([0, 0, 1, 0])
    each = [list(chosen) for chosen in itertools.product(range(4), repeat=4)]
    exact = [macro_f1(labels[chosen], guess[chosen], 2) for chosen in each]
    found = f1_interval(confusion_matrix(labels, guess))
    expected = np.quantile(exact, [0.025, 0.975], method="inverted_cdf")
    assert (found.low, found.high) == pytest.approx(expected)


def test_no_mistakes_leave_nothing_to_resample():
    found = f1_interval([[3, 0], [0, 5]])
    assert (found.low, found.value, found.high) == (1.0, 1.0, 1.0)


def test_a_class_that_never_occurs_counts_as_zero():
    assert f1_interval([[2, 0, 0], [0, 2, 0], [0, 0, 0]]).value == pytest.approx(2 / 3)


def test_the_same_seed_gives_the_same_interval():
    confusion = [[20, 5], [7, 30]]
    assert f1_interval(confusion) == f1_interval(confusion)
    assert f1_interval(confusion, seed=1) != f1_interval(confusion)


def test_a_plain_loop_with_scikit_learn_finds_the_same(rng):
    """The same resamples, image by image: two seeds on one side, one on the other, a rare class."""
    labels = rng.permutation(np.repeat([0, 1, 2], [60, 25, 3]))
    a = np.stack([predictions(rng, labels, 0.7, 3), predictions(rng, labels, 0.7, 3)])
    b = predictions(rng, labels, 0.6, 3)[None]
    found = compare_f1(labels, a, b, 3, resamples=150, seed=5)
    patterns, counts = np.unique(np.vstack([labels, a, b]).T, axis=0, return_counts=True)
    drawn = np.random.default_rng(5).multinomial(len(labels), counts / len(labels), size=150)
    draws = []
    for times in [counts, *drawn]:
        truth, *guesses = np.repeat(patterns, times, axis=0).T
        scores = [macro_f1(truth, guess, 3) for guess in guesses]
        draws.append((np.mean(scores[:2]), scores[2]))
    (value_a, value_b), rest = draws[0], np.array(draws[1:])
    one, other = rest.T
    for interval, value, values in (
        (found.a, value_a, one),
        (found.b, value_b, other),
        (found.difference, value_b - value_a, other - one),
    ):
        expected = (value, *np.quantile(values, [0.025, 0.975]))
        assert (interval.value, interval.low, interval.high) == pytest.approx(expected)
    tail = min(np.sum(other <= one), np.sum(other >= one))
    assert tail > 0 and found.p == pytest.approx(2 * (1 + tail) / 151)


def test_one_side_alone_has_the_interval_of_its_confusion(rng):
    labels = rng.integers(4, size=300)
    guess = predictions(rng, labels, 0.7, 4)
    alone = f1_interval(confusion_matrix(labels, guess), resamples=4000)
    paired = compare_f1(labels, guess[None], labels[None], 4, resamples=4000)
    assert alone.value == pytest.approx(paired.a.value)
    assert (alone.low, alone.high) == pytest.approx((paired.a.low, paired.a.high), abs=0.005)
    assert (paired.b.low, paired.b.high) == (1.0, 1.0)


@pytest.mark.parametrize("order", [[0, 1, 2], [2, 0, 1]])
def test_identical_predictions_differ_by_nothing(rng, order):
    labels = rng.integers(3, size=200)
    a = np.stack([predictions(rng, labels, skill, 3) for skill in (0.5, 0.6, 0.7)])
    found = compare_f1(labels, a, a[order], 3)
    assert found.p == 1.0
    assert (found.difference.low, found.difference.value, found.difference.high) == pytest.approx(
        (0, 0, 0), abs=1e-12
    )


def test_swapping_the_sides_swaps_the_sign(rng):
    labels = rng.integers(3, size=200)
    a, b = (predictions(rng, labels, skill, 3)[None] for skill in (0.5, 0.7))
    one, other = compare_f1(labels, a, b, 3), compare_f1(labels, b, a, 3)
    assert other.difference.value == pytest.approx(-one.difference.value)
    assert (other.difference.low, -other.difference.high) == pytest.approx(
        (-one.difference.high, one.difference.low), abs=0.01
    )
    assert one.p < 0.05 and other.p < 0.05


def test_pairing_sees_what_unpaired_intervals_cannot(rng):
    """B is A with 12 of its mistakes mended: the intervals of the two overlap, the difference is sure."""
    labels = rng.integers(3, size=300)
    a = predictions(rng, labels, 0.6, 3)
    b = a.copy()
    mended = np.flatnonzero(a != labels)[:12]
    b[mended] = labels[mended]
    found = compare_f1(labels, a[None], b[None], 3)
    assert found.a.high > found.b.low
    assert found.difference.low > 0 and found.p < 0.01


def test_the_interval_covers_the_truth(rng):
    """200 simulated test splits of a classifier whose macro-F1 is known: 95 % within 3 binomial sd."""
    rows = np.array([[0.8, 0.15, 0.05], [0.2, 0.7, 0.1], [0.1, 0.3, 0.6]])
    sizes = np.array([120, 60, 25])
    truth = sizes[:, None] * rows
    exact = np.mean(2 * truth.diagonal() / (sizes + truth.sum(axis=0)))
    covered = 0
    for _ in range(200):
        drawn = [rng.multinomial(size, row) for size, row in zip(sizes, rows, strict=True)]
        found = f1_interval(drawn, resamples=500)
        covered += found.low <= exact <= found.high
    assert 0.95 - 3 * 0.0154 <= covered / 200 <= 1


def test_p_values_are_uniform_where_there_is_no_difference(rng):
    """Two equally good networks, 200 times: about 5 % below 0.05, half below a half."""
    labels = np.repeat([0, 1, 2], [80, 60, 40])
    found = np.array(
        [
            compare_f1(
                labels, *(predictions(rng, labels, 0.7, 3)[None] for _ in "ab"), 3, resamples=500
            ).p
            for _ in range(200)
        ]
    )
    assert np.mean(found < 0.05) <= 0.05 + 3 * 0.0154
    assert abs(np.mean(found < 0.5) - 0.5) <= 3 * 0.0354
    assert np.max(np.abs(np.sort(found) - np.arange(200) / 200)) < 0.115  # Kolmogorov-Smirnov at 1 %


def test_chunks_change_nothing_but_the_random_numbers(rng, monkeypatch):
    labels = rng.integers(3, size=100)
    a, b = (predictions(rng, labels, 0.7, 3)[None] for _ in "ab")
    whole = compare_f1(labels, a, b, 3, resamples=4000)
    monkeypatch.setattr("training.bootstrap._CELLS", 1000)
    parts = compare_f1(labels, a, b, 3, resamples=4000)
    assert parts.difference.value == whole.difference.value
    assert (parts.difference.low, parts.difference.high) == pytest.approx(
        (whole.difference.low, whole.difference.high), abs=0.01
    )


def test_misuse():
    labels = np.array([0, 1])
    with pytest.raises(ValueError, match="share images"):
        compare_f1(labels, np.zeros((1, 2), int), np.zeros((1, 3), int), 2)
    with pytest.raises(ValueError, match="share images"):
        compare_f1(labels[:0], np.zeros((1, 0), int), np.zeros((1, 0), int), 2)
