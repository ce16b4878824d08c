"""Epochs that nobody gave: the usual number, and enough steps in small folders."""

from __future__ import annotations

import pytest

from core.config import AugmentConfig, StudentConfig, TeacherConfig, TrainConfig
from training.budget import STUDENT, Length, decided, settled, steps_per_epoch


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
    recipe = decided(TrainConfig(), images, Length(5, 100))
    assert recipe.epochs == epochs
    assert recipe.epochs * steps_per_epoch(images, recipe.batch_size) >= 100


def test_epochs_that_were_given_stay():
    assert decided(TrainConfig(epochs=2), 3, Length(5, 100)).epochs == 2


@pytest.mark.parametrize(("images", "epochs"), [(64_000, 5), (640, 10), (168, 20), (3, 20)])
def test_a_tiny_folder_is_not_walked_through_forever(images, epochs):
    assert decided(TrainConfig(), images, Length(5, 100, most=20)).epochs == epochs


@pytest.mark.parametrize(("epochs", "views"), [(1, 4), (30, 4), (48, 6), (300, 32)])
def test_views_are_an_eighth_of_the_epochs(epochs, views):
    assert TrainConfig(epochs=epochs).walked == views
    assert decided(TrainConfig(epochs=epochs), 640, Length(5, 100)).views == views
    assert decided(TrainConfig(epochs=epochs, views=3), 640, Length(5, 100)).views == 3


@pytest.mark.parametrize(
    ("given", "epochs", "taught", "cutmix"),
    [
        (AugmentConfig(), 200, True, 0.5),
        (AugmentConfig(), 199, True, None),
        (AugmentConfig(), 200, False, None),
        (AugmentConfig(cutmix=0.0), 200, True, 0.0),
        (AugmentConfig(cutmix=0.2), 10, False, 0.2),
        (AugmentConfig(mixup=0.2), 200, True, None),
    ],
)
def test_mixtures_are_for_long_trainings_with_a_teacher(given, epochs, taught, cutmix):
    """640 images are 10 steps."""
    teacher = TeacherConfig(spec="any") if taught else None
    config = StudentConfig(teacher=teacher, augment=given, train=TrainConfig(epochs=epochs))
    assert settled(config, 640).augment.cutmix == cutmix
    assert settled(config, 640).train == decided(config.train, 640, STUDENT)
