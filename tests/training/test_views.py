"""What a network sees of a view: computed once, and the same whether or not it was kept."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from training import views
from training.augment import Augmentation
from training.preprocess import resize
from training.views import ViewCache, augmented, seen

CPU = torch.device("cpu")
SETTINGS = Augmentation(cutmix=0.3)
BYTES = 24 * 24 * 3  # of an image


def look(data, indices, view, memory, *, resolution=24, settings=SETTINGS) -> torch.Tensor:
    return seen(data, np.asarray(indices), view, settings, resolution, CPU, memory)


@pytest.fixture
def computed(monkeypatch) -> list[int]:
    """The images that were augmented, in that order."""
    counted: list[int] = []
    original = views.augmented

    def counting(data, indices, *rest):
        counted.extend(indices.tolist())
        return original(data, indices, *rest)

    monkeypatch.setattr(views, "augmented", counting)
    return counted


@pytest.mark.parametrize("room", [0, 1 << 30])
def test_pixels_are_those_of_the_view(digits, room: int) -> None:
    memory, rng = ViewCache(room), np.random.default_rng(0)
    for _ in range(3):
        for view in (0, 1):
            indices = rng.permutation(digits.splits["train"])[:50]
            expected = resize(augmented(digits, indices, view, SETTINGS, CPU), 24)
            assert torch.equal(look(digits, indices, view, memory), expected)


def test_nothing_is_computed_twice(digits, computed) -> None:
    memory, train = ViewCache(), digits.splits["train"]
    look(digits, train[:60], 0, memory)
    look(digits, train[40:100], 0, memory)
    look(digits, [*train[:10], *train[:10], train[100]], 0, memory)  # repeats, as of a balanced epoch
    assert computed == train[:101].tolist()


@pytest.mark.parametrize(
    "changed",
    [
        lambda data: (replace(data, digest="another"), {}),
        lambda data: (data, {"resolution": 16}),
        lambda data: (data, {"settings": Augmentation(cutmix=0.4)}),
    ],
)
def test_what_shapes_the_pixels_is_told_apart(digits, changed) -> None:
    memory, train = ViewCache(), digits.splits["train"][:20]
    first = look(digits, train, 0, memory)
    data, given = changed(digits)
    second = look(data, train, 0, memory, **given)
    fresh = look(data, train, 0, ViewCache(), **given)
    assert torch.equal(second, fresh)
    assert torch.equal(look(digits, train, 0, memory), first)


def test_memory_stays_within_its_budget_and_keeps_the_first_views(digits, computed) -> None:
    train = digits.splits["train"]
    budget = 2 * len(train) * BYTES
    memory = ViewCache(budget)
    for _ in range(2):
        for view in range(4):
            look(digits, train, view, memory)
            assert memory.size <= budget
    assert len(computed) == 6 * len(train)  # views 2 and 3 twice


def test_another_training_takes_the_room_of_one_that_is_over(digits, computed) -> None:
    train = digits.splits["train"]
    memory = ViewCache(2 * len(train) * BYTES)
    later = replace(digits, digest="another")
    for data in (digits, digits, later, later):
        for view in range(2):
            look(data, train, view, memory)
    assert len(computed) == 4 * len(train)
