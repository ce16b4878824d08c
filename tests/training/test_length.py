"""Epochs that nobody gave: the usual number, and enough steps in small folders."""

from __future__ import annotations

import pytest

from nas.config import TrainConfig
from training.length import decided, steps_per_epoch


@pytest.mark.parametrize(
    ("images", "batch", "steps"),
    [(1, 64, 1), (2, 64, 1), (3, 1, 1), (100, 64, 2), (168, 64, 3), (640, 64, 10), (10, 2, 5), (9, 2, 4)],
)
def test_no_step_has_a_single_image(images, batch, steps):
    assert steps_per_epoch(images, batch) == steps
    assert images < 2 or images / steps >= 2


@pytest.mark.parametrize(
    ("images", "epochs"),
    [(6400, 5), (1280, 5), (640, 10), (168, 34), (3, 100)],
)
def test_a_small_folder_gets_the_least_number_of_steps(images, epochs):
    recipe = decided(TrainConfig(), images, (5, 100))
    assert recipe.epochs == epochs
    assert recipe.epochs * steps_per_epoch(images, recipe.batch_size) >= 100


def test_epochs_that_were_given_stay():
    assert decided(TrainConfig(epochs=2), 3, (5, 100)).epochs == 2
