"""How the learning rate goes: up, and then as its name says."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch

from core.config import TrainConfig
from training.schedule import by_recipe

STEPS, EPOCHS = 10, 12
TOTAL = STEPS * EPOCHS


def rates(**given: object) -> list[float]:
    recipe = TrainConfig(epochs=EPOCHS, learning_rate=1.0, **{"warmup": 0.1, **given})
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    scheduler, found = by_recipe(optimizer, recipe, STEPS), []
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


@pytest.mark.parametrize(
    "name, middle, end",
    [("poly", 0.505, 0.018), ("step", 0.1, 0.01), ("wsd", 1.0, 0.01), ("constant", 1.0, 1.0)],
)
def test_each_goes_its_own_way(name: str, middle: float, end: float) -> None:
    found = rates(scheduler=name)
    assert found[TOTAL // 2] == pytest.approx(middle, abs=0.005)
    assert found[-1] == pytest.approx(end, abs=0.035)
