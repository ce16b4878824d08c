"""The epoch that is kept: the most trained one of those that validate about as well as the best."""

from __future__ import annotations

import numpy as np
import pytest

from training.epoch_selection import keeps, standard_error


def kept(scores, images):
    """The epoch, from 1, that is kept when asked after each."""
    history = [{"val_f1": float(score)} for score in scores]
    return max(epoch for epoch in range(1, len(scores) + 1) if keeps(history[:epoch], images))


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
