"""A budget of time, split over the stages of a search."""

from __future__ import annotations

import re

import pytest

from core.config import BaseConfig, SearchConfig, SupernetConfig, TeacherConfig
from minnow import budget_split
from minnow.budget_split import split_budget
from minnow.listener import Listener
from nas.objectives import Objectives
from nas.spaces.elastic import Elastic
from training.speed import OVERHEAD


class Notes(Listener):
    """Keeps the notes."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def note(self, line: str) -> None:
        self.lines.append(line)


@pytest.fixture
def split(some_digits, monkeypatch, own_cache):
    """Split a budget as if a training step took a second per image."""
    monkeypatch.setattr(budget_split, "training_seconds", lambda *_: 1 / OVERHEAD)
    monkeypatch.setattr(budget_split, "inference_seconds", lambda *_: 0.25 / OVERHEAD)
    monkeypatch.setattr(budget_split, "find_pretrained", lambda spec: _Pretrained())
    space = Elastic((32,))

    def run(budget: float | None, **changes) -> tuple[SearchConfig, str]:
        config = SearchConfig(evaluator="supernet", teacher=TeacherConfig(spec="any"), budget=budget)
        config, notes = config.model_copy(update=changes), Notes()
        objectives = Objectives.parse(config.objectives, config.limits)
        return split_budget(config, space, objectives, some_digits, notes), " ".join(notes.lines)

    return run


class _Pretrained:
    classes = None
    model = None

    def head_alone(self) -> None:
        return None

    def default_resolution(self, stored: int) -> int:
        return stored

    def take_resolution(self, resolution: int) -> None:
        assert resolution == 32


def test_without_a_budget_nothing_changes(split):
    config, said = split(None)
    assert (config.timeout, config.supernet.epochs, config.teacher.epochs, said) == (None, None, None, "")


def test_a_search_that_began_keeps_its_split(split):
    config, said = split(600.0, study="run")
    assert config.timeout is None and said == ""


@pytest.mark.parametrize("limits", [(), ("macs<=1M",)])
@pytest.mark.parametrize("minutes", [1, 30, 10_000])
def test_the_stages_fit_in_the_time_and_most_is_left(split, some_digits, minutes, limits):
    images, budget = len(some_digits.splits["train"]), 60.0 * minutes
    config, said = split(budget, limits=limits)
    teacher = config.teacher.epochs * images
    supernet = re.search(r"supernet (?:(\d+)m )?(\d+)s", said)
    supernet_seconds = 60 * int(supernet[1] or 0) + int(supernet[2])
    if config.teacher.epochs > 1:
        assert teacher <= 0.35 * budget + 1e-6
    rest = max(0.0, budget - teacher)
    if config.supernet.epochs > 1:
        assert supernet_seconds <= 0.2 * rest + 1
    assert config.timeout == pytest.approx(max(1, 0.2 * (rest - supernet_seconds)), abs=1)


def test_the_usual_lengths_are_not_exceeded(split):
    config, said = split(1e9)
    assert config.teacher.epochs == 34 and config.supernet.epochs == 40
    assert " of " not in said


def test_near_limits_the_supernet_costs_less(split):
    small, whole = (split(20_000.0, limits=limits)[0].supernet.epochs for limits in (("macs<=500k",), ()))
    assert small > whole


def test_what_was_given_stays(split):
    given = {
        "teacher": TeacherConfig(spec="any", epochs=9),
        "supernet": SupernetConfig(epochs=8),
        "timeout": 7.0,
    }
    config, _ = split(60.0, **given)
    assert (config.teacher.epochs, config.supernet.epochs, config.timeout) == (9, 8, 7.0)


def test_trials_that_are_trained_get_half(split):
    assert split(600.0, evaluator="train", teacher=None)[0].timeout == pytest.approx(300)


def test_a_head_on_frozen_features_costs_some_inference_once(split, some_digits):
    """Four views of all images, a quarter of a second each."""
    _, said = split(20_000.0, teacher=TeacherConfig(spec="any", tune="head"))
    seconds = len(some_digits.splits["train"])
    assert f"teacher {seconds // 60}m {seconds % 60:02d}s" in said


def test_a_base_beside_the_teacher_is_tuned_too(split):
    alone, both = (split(2e4, base=base)[0].teacher.epochs for base in (None, BaseConfig(spec="another")))
    assert both == pytest.approx(alone / 2, abs=1)
