"""Optimizers by name, gradient clipping, and the learning rate of every schedule."""

from __future__ import annotations

import copy
import math
from itertools import pairwise

import pytest
import torch
from timm.optim import create_optimizer_v2
from torch import nn

from core.config import TrainConfig
from core.errors import UserError
from training.augment import Augmentation
from training.batches import Batches
from training.fit import cross_entropy, fit
from training.optimizer import make_optimizer, schedule_by_recipe
from training.preprocess import IMAGENET

LOSS = cross_entropy(0.1)
ONE_STEP = TrainConfig(
    epochs=1,
    batch_size=200,
    optimizer="sgd",
    learning_rate=0.1,
    weight_decay=0.0,
    average=0.0,
    warmup=0.0,
)


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3, 4), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(256, 10))


def batches_of(data, recipe: TrainConfig) -> Batches:
    return Batches(data, 32, IMAGENET, Augmentation(operations=0), recipe.batch_size, 1, 0)


def trained(data, recipe: TrainConfig, **options) -> dict[str, torch.Tensor]:
    fitted = fit(network(), batches_of(data, recipe), LOSS, recipe, **options)
    return fitted.model.state_dict()


def stepped(data, clip: float | None) -> tuple[dict[str, torch.Tensor], float]:
    """The same step by hand, and the norm of its gradient."""
    model = network().to(memory_format=torch.channels_last)
    model[1].momentum = ONE_STEP.norm_momentum
    optimizer = create_optimizer_v2(model, opt="sgd", lr=0.1, weight_decay=0.0)
    (batch,) = batches_of(data, ONE_STEP).epoch(0)
    model.train()
    LOSS(model, batch).backward()
    norm = torch.nn.utils.clip_grad_norm_(model.parameters(), torch.inf if clip is None else clip)
    optimizer.step()
    return model.state_dict(), norm.item()


@pytest.mark.parametrize("share", [None, 0.3, 2.0])
def test_clipping_is_that_of_torch(some_digits, share):
    """``share`` of the gradient's norm; one that is above it changes nothing."""
    free, norm = stepped(some_digits, None)
    clip = 0.0 if share is None else share * norm
    expected, _ = stepped(some_digits, clip or None)
    found = trained(some_digits, ONE_STEP.model_copy(update={"clip_grad": clip}))
    assert all(torch.equal(found[key], expected[key]) for key in expected)
    assert torch.equal(found["3.weight"], free["3.weight"]) == (share != 0.3)


def test_adamw_is_the_default(some_digits):
    recipe = TrainConfig(epochs=1, batch_size=50)
    assert isinstance(make_optimizer(network(), recipe), torch.optim.AdamW)
    named = trained(some_digits, recipe.model_copy(update={"optimizer": "adamw"}))
    assert all(torch.equal(named[key], value) for key, value in trained(some_digits, recipe).items())


def test_biases_and_norms_do_not_decay():
    made = make_optimizer(network(), TrainConfig(optimizer="sgd", weight_decay=0.5))
    decays = [
        (weight.ndim, group["weight_decay"]) for group in made.param_groups for weight in group["params"]
    ]
    assert sorted(decays) == [(1, 0.0)] * 4 + [(2, 0.5), (4, 0.5)]


@pytest.mark.parametrize("name", ["sgd", "lamb", "lion", "muon", "adafactor", "nadamw", "madgrad"])
def test_every_kind_of_state_survives_a_resume(some_digits, tmp_path, name):
    class Cut(Exception):
        pass

    def cut(progress) -> None:
        if (progress.epoch, progress.step) == (1, 0):
            raise Cut

    recipe = TrainConfig(epochs=2, batch_size=50, optimizer=name, learning_rate=2e-3)
    path = tmp_path / "checkpoint.pt"
    with pytest.raises(Cut):
        trained(some_digits, recipe, checkpoint=path, report=cut)
    resumed, whole = trained(some_digits, recipe, checkpoint=path), trained(some_digits, recipe)
    assert all(torch.equal(resumed[key], whole[key]) for key in whole)
    start = copy.deepcopy(network().state_dict())
    assert not torch.equal(whole["3.weight"], start["3.weight"])


def refused(name: str) -> str:
    with pytest.raises(UserError, match=r"train\.optimizer") as error:
        make_optimizer(nn.Linear(1, 1), TrainConfig(optimizer=name))
    assert "\n" not in str(error.value)
    return str(error.value)


def test_an_unknown_name_is_answered_with_close_ones():
    assert "did you mean 'sgd'" in refused("sgdd")
    assert "'adamw'" in refused("AdamW")
    assert "adamw, " in refused("zzzzzzzz") and "sgd" in refused("zzzzzzzz")


def test_what_cannot_go_on_exactly_is_refused():
    assert "choose another" in refused("adahessian")


@pytest.mark.skipif(torch.cuda.is_available(), reason="they may run here")
@pytest.mark.parametrize("name", ["fusedadam", "bnbadam8bit"])
def test_what_needs_another_machine_is_refused(name):
    assert "CUDA" in refused(name)


STEPS, EPOCHS = 10, 12
TOTAL = STEPS * EPOCHS


def rates(**given: object) -> list[float]:
    recipe = TrainConfig(epochs=EPOCHS, learning_rate=1.0, **{"warmup": 0.1, **given})
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    scheduler, found = schedule_by_recipe(optimizer, recipe, STEPS), []
    for update in range(TOTAL):
        scheduler.step_update(update)
        found.append(optimizer.param_groups[0]["lr"])
    return found


def test_cosine_is_the_formula() -> None:
    found = rates()
    for update in range(12, TOTAL):
        assert found[update] == pytest.approx(
            0.01 + 0.99 * (1 + math.cos(math.pi * update / TOTAL)) / 2, rel=1e-6
        )


@pytest.mark.parametrize("name", ["cosine", "tanh", "poly", "step", "wsd", "constant"])
def test_it_rises_first_and_never_again(name: str) -> None:
    found = rates(scheduler=name)
    assert found[0] == pytest.approx(0.1)
    assert all(one < other for one, other in pairwise(found[:12]))
    assert all(one >= other - 1e-9 for one, other in pairwise(found[12:]))
    assert max(found) <= 1.0


@pytest.mark.parametrize("epochs, warmup", [(1, 0.1), (2, 0.0), (10, 0.9)])
def test_wsd_has_a_decay_however_short_the_training(epochs: int, warmup: float) -> None:
    recipe = TrainConfig(epochs=epochs, scheduler="wsd", warmup=warmup)
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=recipe.peak_rate)
    schedule = schedule_by_recipe(optimizer, recipe, 1)
    schedule.step_update(epochs)
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.01 * recipe.peak_rate)


@pytest.mark.parametrize(
    "name, middle, end",
    [("poly", 0.505, 0.018), ("step", 0.1, 0.01), ("wsd", 1.0, 0.01), ("constant", 1.0, 1.0)],
)
def test_each_goes_its_own_way(name: str, middle: float, end: float) -> None:
    found = rates(scheduler=name)
    assert found[TOTAL // 2] == pytest.approx(middle, abs=0.005)
    assert found[-1] == pytest.approx(end, abs=0.035)
