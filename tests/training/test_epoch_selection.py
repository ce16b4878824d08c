"""The epoch that is kept, the last of those that validate about as well as the best; early stopping."""

from __future__ import annotations

import random

import numpy as np
import pytest

from training.epoch_selection import has_plateaued, keeps_last, standard_error

SCORES = [0.5, 0.6, 0.6, 0.7, 0.65, 0.7, 0.71, 0.7, 0.6, 0.71]


def kept(scores, images):
    """The epoch, from 1, that is kept when asked after each."""
    history = [{"val_f1": float(score)} for score in scores]
    return max(epoch for epoch in range(1, len(scores) + 1) if keeps_last(history[:epoch], images))


def test_the_standard_error_is_that_of_a_share():
    assert standard_error(0.5, 96) == pytest.approx(0.05)
    for share in (0.2, 0.9):
        drawn = np.random.default_rng(0).binomial(4000, share, size=20_000) / 4000
        assert standard_error(share, 4000) == pytest.approx(drawn.std(), rel=0.03)


def test_what_a_dozen_images_say_is_never_certain():
    assert (
        standard_error(1.0, 12)
        == pytest.approx(standard_error(0.0, 12))
        == pytest.approx(0.0827, abs=1e-4)
    )


@pytest.mark.parametrize("images", [8, 200, 100_000])
def test_asked_after_each_epoch_it_ends_at_the_last_one_near_the_best(images):
    for seed in range(20):
        rng = np.random.default_rng(seed)
        scores = np.clip(np.linspace(0.3, 0.8, 50) + rng.normal(0, 0.1, 50), 0, 1)
        least = scores.max() - standard_error(scores.max(), images)
        assert kept(scores, images) == 1 + np.flatnonzero(scores >= least).max()


def test_luck_in_an_early_epoch_does_not_win_on_few_images():
    scores = [0.2, 0.5, 0.74, 0.5, 0.6, 0.65, 0.7, 0.68]
    assert kept(scores, images=16) == 8
    assert kept(scores, images=16_000) == 3


def test_a_training_that_gets_worse_keeps_what_it_had():
    assert kept([0.5, 0.8, 0.79, 0.6, 0.4, 0.3], images=50) == 3


def stops_after(scores: list[float], patience: int) -> int | None:
    for epoch in range(1, len(scores) + 1):
        if has_plateaued([{"val_f1": score} for score in scores[:epoch]], patience):
            return epoch
    return None


@pytest.mark.parametrize(
    ("patience", "epoch"),
    [(0, None), (1, 3), (2, 6), (3, 10), (4, None), (50, None)],
)
def test_the_epoch_that_stops_counted_by_hand(patience, epoch):
    """A score that equals the best one does not improve it."""
    assert stops_after(SCORES, patience) == epoch


def test_the_first_epoch_always_is_the_best_so_far():
    assert not has_plateaued([], 1)
    assert not has_plateaued([{"val_f1": 0.0}], 1)
    assert has_plateaued([{"val_f1": 0.0}, {"val_f1": 0.0}], 1)


def test_early_stopping_agrees_with_counting_epochs_one_by_one():
    """A second implementation: the counter of epochs since the last better one."""
    rng = random.Random(0)
    for _ in range(300):
        scores = [rng.randint(0, 5) / 5 for _ in range(rng.randint(1, 12))]
        patience = rng.randint(1, 5)
        best, waited, expected = -1.0, 0, None
        for epoch, score in enumerate(scores, 1):
            best, waited = (score, 0) if score > best else (best, waited + 1)
            if waited >= patience:
                expected = epoch
                break
        assert stops_after(scores, patience) == expected
