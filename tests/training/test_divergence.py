"""Losses, gradients and outputs that stop being finite: ending there, or going back once, slower."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.optim.optimizer import register_optimizer_step_pre_hook

from core.config import TrainConfig
from training.augment import Augmentation
from training.batches import Batches
from training.fit import Fitted, fit
from training.preprocess import IMAGENET
from training.state import load_checkpoint
from training.step import DivergedError, halve_once

RECIPE = TrainConfig(epochs=4, batch_size=50, learning_rate=0.01, views=2)
STEPS = 4  # per epoch


def network() -> nn.Sequential:
    torch.manual_seed(0)
    body = [nn.Conv2d(3, 8, 3, 4), nn.BatchNorm2d(8), nn.ReLU(), nn.Dropout(0.2), nn.AdaptiveAvgPool2d(4)]
    return nn.Sequential(*body, nn.Flatten(), nn.Linear(128, 10))


def spoiled_at(*calls: int, by: float = math.nan, hear: Callable[[], None] = lambda: None):
    """Cross-entropy that is not finite when it is called for the ``calls``-th time, from 1."""
    count = 0

    def loss(model, batch):
        nonlocal count
        count += 1
        hear()
        value = F.cross_entropy(model(batch.images), batch.labels)
        return value * by if count in calls else value

    return loss


def train(data, loss, *, recipe=RECIPE, model=None, warn=None, **options) -> Fitted:
    batches = Batches(
        data, 32, IMAGENET, Augmentation(operations=1, flip=False), 50, recipe.view_count, 0
    )
    if warn is not None:
        options["on_divergence"] = halve_once(warn)
    return fit(model or network(), batches, loss, recipe, **options)


def content(fitted: Fitted) -> tuple:
    timed = ("seconds", "images_per_second")
    history = [{k: v for k, v in epoch.items() if k not in timed} for epoch in fitted.history]
    weights = {name: value.tolist() for name, value in fitted.model.state_dict().items()}
    return weights, history, fitted.rollbacks, fitted.kept_epoch, fitted.val


def rates_of(run: Callable[[], object]) -> list[float]:
    rates: list[float] = []
    hook = register_optimizer_step_pre_hook(lambda made, *_: rates.append(made.param_groups[0]["lr"]))
    try:
        run()
    finally:
        hook.remove()
    return rates


@pytest.mark.parametrize("by", [math.nan, math.inf])
def test_it_ends_the_training_where_nobody_says_otherwise(some_digits, by):
    with pytest.raises(DivergedError, match=r"loss became (nan|inf) in epoch 2, step 3"):
        train(some_digits, spoiled_at(STEPS + 3, by=by))


def test_it_goes_back_once_and_halves_the_learning_rate(some_digits):
    said: list[str] = []
    fitted = train(some_digits, spoiled_at(STEPS + 3), warn=said.append)
    (line,) = said
    assert "\n" not in line and "epoch 2, step 3" in line and "half the learning rate" in line
    (rollback,) = fitted.rollbacks
    assert (rollback["epoch"], rollback["learning_rate"]) == (2, 0.005)
    assert rollback["error"] in line
    assert [epoch["epoch"] for epoch in fitted.history] == [1, 2, 3, 4]
    assert [epoch["learning_rate"] for epoch in fitted.history] == [0.01, 0.005, 0.005, 0.005]


def test_every_later_step_has_half_the_rate_it_would_have_had(some_digits):
    usual = rates_of(lambda: train(some_digits, spoiled_at()))
    found = rates_of(lambda: train(some_digits, spoiled_at(STEPS + 3), warn=print))
    before, after = found[: STEPS + 3], found[STEPS + 3 :]
    assert before == usual[: STEPS + 3]
    assert after == pytest.approx([rate / 2 for rate in usual[STEPS:]])


@pytest.mark.parametrize("epoch", [1, 2, 4])
@pytest.mark.parametrize("average", [0.9, 0.0])
def test_the_repeated_epoch_starts_where_the_spoiled_one_did(some_digits, epoch, average):
    model, seen = network(), []

    def look() -> None:
        state = {
            k: v.clone() for k, v in model.state_dict().items() if "running" not in k and "num" not in k
        }
        seen.append(state)

    start = (epoch - 1) * STEPS
    recipe = RECIPE.model_copy(update={"average": average})
    loss = spoiled_at(start + 3, hear=look)
    fitted = train(some_digits, loss, recipe=recipe, model=model, warn=print)
    first, again = seen[start], seen[start + 3]
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert all(torch.isfinite(value).all() for value in fitted.model.state_dict().values())


@pytest.mark.parametrize("second", [3 + 1, 3 + STEPS + 2, 3 + 3 * STEPS])
def test_the_second_time_it_ends(some_digits, second):
    """Calls after the first divergence: in the repeated epoch, in the next, in the last."""
    epoch, step = (second - 4) // STEPS + 2, (second - 4) % STEPS + 1
    said: list[str] = []
    with pytest.raises(DivergedError, match=f"epoch {epoch}, step {step}.* halved") as error:
        train(some_digits, spoiled_at(STEPS + 3, STEPS + second), warn=said.append)
    assert len(said) == 1 and "\n" not in str(error.value)


def test_a_gradient_that_is_not_finite_counts_though_the_loss_is(some_digits):
    def loss(model, batch):
        logits = model(batch.images)
        nothing = (logits - logits.detach()).abs().sqrt().sum()  # 0, with a slope that is infinite there
        return F.cross_entropy(logits, batch.labels) + nothing

    with pytest.raises(DivergedError, match="gradient became nan in epoch 1, step 1"):
        train(some_digits, loss)


def test_outputs_that_are_not_finite_count(some_digits):
    """One huge last step: no loss after it shows that."""
    recipe = RECIPE.model_copy(update={"epochs": 1, "learning_rate": 1e36, "average": 0.0})
    said: list[str] = []
    with pytest.raises(DivergedError):
        train(some_digits, spoiled_at(), recipe=recipe, warn=said.append)
    assert len(said) == 1


class Cut(Exception):
    """Stands for a kill."""


@pytest.mark.parametrize("calls", [1, 2, 4, 5, 9, 12])
@pytest.mark.parametrize("epoch", [1, 2])
def test_it_is_remembered_when_resumed(some_digits, tmp_path, calls, epoch):
    """Cut so many calls after the divergence, and gone on with where nothing diverges any more."""
    diverges = (epoch - 1) * STEPS + 2
    left = diverges + calls

    def cut() -> None:
        nonlocal left
        left -= 1
        if left == 0:
            raise Cut

    path = tmp_path / "checkpoint.pt"
    with pytest.raises(Cut):
        train(some_digits, spoiled_at(diverges, hear=cut), warn=print, checkpoint=path)
    assert len(load_checkpoint(path, "")["rollbacks"]) == 1
    said: list[str] = []
    resumed = train(some_digits, spoiled_at(), warn=said.append, checkpoint=path)
    assert said == []
    assert content(resumed) == content(train(some_digits, spoiled_at(diverges), warn=print))


def test_a_killed_training_does_not_get_a_second_chance(some_digits, tmp_path):
    path = tmp_path / "checkpoint.pt"
    with pytest.raises(DivergedError):
        train(some_digits, spoiled_at(6, 7), warn=print, checkpoint=path)
    with pytest.raises(DivergedError, match="halved"):
        train(some_digits, spoiled_at(1), warn=print, checkpoint=path)
