"""Epochs that nobody gave: the usual number, and enough steps in small folders."""

from __future__ import annotations

import math

import pytest

from core.config import (
    AugmentConfig,
    BalanceConfig,
    LossConfig,
    SearchConfig,
    StudentConfig,
    SupernetConfig,
    TeacherConfig,
    TrainConfig,
)
from training.budget import (
    STUDENT,
    Length,
    confirmations,
    decided,
    resolve_search,
    resolve_student,
    steps_per_epoch,
    supernet_recipe,
)


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
    assert TrainConfig(epochs=epochs).view_count == views
    assert decided(TrainConfig(epochs=epochs), 640, Length(5, 100)).views == views
    assert decided(TrainConfig(epochs=epochs, views=3), 640, Length(5, 100)).views == 3


@pytest.mark.parametrize(
    ("given", "epochs", "taught", "cutmix"),
    [
        (AugmentConfig(), 200, True, 0.5),
        (AugmentConfig(), 199, True, 0.0),
        (AugmentConfig(), 200, False, 0.0),
        (AugmentConfig(cutmix=0.0), 200, True, 0.0),
        (AugmentConfig(cutmix=0.2), 10, False, 0.2),
        (AugmentConfig(mixup=0.2), 200, True, 0.0),
    ],
)
def test_mixtures_are_for_long_trainings_with_a_teacher(given, epochs, taught, cutmix):
    """640 images are 10 steps."""
    teacher = TeacherConfig(spec="any") if taught else None
    config = StudentConfig(teacher=teacher, augment=given, train=TrainConfig(epochs=epochs))
    assert resolve_student(config, 640).augment.cutmix == cutmix
    assert resolve_student(config, 640).train == decided(config.train, 640, STUDENT)


def test_a_fifth_of_the_trials_confirm_unless_given() -> None:
    goals = ("f1:max", "macs:min")
    assert confirmations(SearchConfig(trials=50)) == 10
    assert confirmations(SearchConfig(trials=4)) == 0
    assert confirmations(SearchConfig(trials=50, confirm=0)) == 0
    assert confirmations(SearchConfig(trials=50, objectives=goals)) == 0
    assert confirmations(SearchConfig(trials=50, objectives=goals, confirm=5)) == 5


@pytest.mark.parametrize("evaluator", ["inherit", "supernet"])
def test_trials_with_inherited_weights_train_gently_or_not_at_all(evaluator) -> None:
    config = SearchConfig(trials=50, evaluator=evaluator)
    judged = resolve_search(config, 640)
    assert (judged.train.epochs, judged.confirm) == (0, 0)
    trained = resolve_search(config.model_copy(update={"train": TrainConfig(epochs=3)}), 640)
    assert (trained.train.epochs, trained.train.learning_rate, trained.confirm) == (3, 2e-3, 10)


@pytest.mark.parametrize("evaluator", ["train", "inherit", "supernet"])
@pytest.mark.parametrize("fidelity", ["full", "asha"])
def test_a_resolved_search_has_nothing_open_but_its_teacher_and_mixtures(evaluator, fidelity) -> None:
    config = SearchConfig(evaluator=evaluator, fidelity=fidelity)
    resolved = resolve_search(config, 640)
    epochs = {"full": 10, "asha": 45}[fidelity]
    assert resolved.train.epochs == (epochs if evaluator == "train" else 0)
    assert None not in (resolved.train.views, resolved.train.learning_rate, resolved.confirm)
    assert (resolved.loss.features, resolved.balance.mode) == ("none", "none")
    assert (resolved.supernet.epochs, resolved.supernet.views) == (
        (40, 5) if evaluator == "supernet" else (None, None)
    )
    assert resolve_search(resolved, 640) == resolved
    assert SearchConfig.model_validate(resolved.model_dump()) == resolved


@pytest.mark.parametrize(
    ("macs", "steps"), [(math.inf, 2_100), (10e6, 2_100), (5e6, 4_200), (2.5e6, 8_400), (1e6, 8_400)]
)
def test_small_students_that_inherit_train_for_longer_unless_told_otherwise(macs, steps) -> None:
    images = 6_400  # a hundred steps
    inheriting = resolve_student(StudentConfig(), images, inherits=True, macs=macs)
    assert inheriting.train.epochs == steps // 100
    alone = resolve_student(StudentConfig(), images, macs=macs)
    assert alone.train.epochs == 60
    told = StudentConfig(train=TrainConfig(epochs=7))
    assert resolve_student(told, images, inherits=True, macs=macs).train.epochs == 7
    few = resolve_student(StudentConfig(), 64, inherits=True, macs=macs)
    assert few.train.epochs == 180


def test_a_resolved_student_has_nothing_open_and_keeps_what_was_given() -> None:
    config = StudentConfig(train=TrainConfig(epochs=3))
    plain, inheriting = (resolve_student(config, 640, inherits=given) for given in (False, True))
    assert (plain.train.learning_rate, inheriting.train.learning_rate) == (6e-3, 2e-3)
    assert (plain.loss.features, plain.balance.mode, plain.augment.cutmix) == ("hint", "post-hoc", 0.0)
    assert resolve_student(plain, 640) == plain
    given = StudentConfig(
        train=TrainConfig(epochs=3, learning_rate=0.1),
        loss=LossConfig(features="none"),
        balance=BalanceConfig(mode="sampler"),
    )
    resolved = resolve_student(given, 640, inherits=True)
    assert (resolved.train.learning_rate, resolved.loss, resolved.balance) == (
        0.1,
        given.loss,
        given.balance,
    )


@pytest.mark.parametrize(
    ("settings", "epochs"),
    [
        ({}, 40),
        ({"limits": ("macs<=1M",)}, 11),
        ({"limits": ("macs<=1M", "latency_ms<=2")}, 11),
        ({"limits": ("f1>=0.5",)}, 40),
        ({"limits": ("macs<=1M",), "objectives": ("f1", "latency_ms")}, 40),
        ({"limits": ("macs<=1M",), "supernet": SupernetConfig(sizes="all")}, 40),
        ({"limits": ("macs<=1M",), "supernet": SupernetConfig(epochs=3)}, 3),
    ],
)
def test_a_supernet_for_networks_of_one_size_is_trained_for_less_long(settings, epochs) -> None:
    assert supernet_recipe(SearchConfig(**settings), 640).epochs == epochs
