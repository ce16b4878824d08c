"""A budget of time, split over the stages of a search."""

from __future__ import annotations

import re

import pytest

from core.config import BaseConfig, SearchConfig, SupernetConfig, TeacherConfig, TrainConfig
from minnow import budget_split, near_limits
from minnow.budget_split import split_budget
from nas.objectives import Objectives
from nas.spaces.elastic import Elastic
from training.speed import OVERHEAD


@pytest.fixture
def split(some_digits, monkeypatch, own_cache, keeping):
    """Split a budget as if a training step took a second per image."""
    monkeypatch.setattr(budget_split, "training_seconds", lambda *_: 1 / OVERHEAD)
    monkeypatch.setattr(budget_split, "inference_seconds", lambda *_: 0.25 / OVERHEAD)
    monkeypatch.setattr(budget_split, "find_pretrained", lambda spec: _Pretrained(spec))
    monkeypatch.setattr(budget_split, "tuned_before", lambda teacher, *_: teacher.spec == "trained")
    space = Elastic((32,))

    def run(budget: float | None, **changes) -> tuple[SearchConfig, str]:
        config = SearchConfig(evaluator="supernet", teacher=TeacherConfig(spec="any"), budget=budget)
        config = config.model_copy(update=changes)
        keeping.notes.clear()
        objectives = Objectives.parse(config.objectives, config.limits)
        return split_budget(config, space, objectives, some_digits, keeping), " ".join(keeping.notes)

    return run


class _Pretrained:
    model = None

    def __init__(self, spec: str) -> None:
        self.spec = spec
        self.classes = ("a", "b") if spec == "trained" else None

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
    trained = {"teacher": TeacherConfig(spec="trained"), "evaluator": "inherit"}
    assert split(600.0, **trained)[0].timeout == pytest.approx(120)
    assert split(600.0, **trained, train=TrainConfig(epochs=2))[0].timeout == pytest.approx(300)


def test_a_head_on_frozen_features_costs_some_inference_once(split, some_digits):
    """Four views of all images, a quarter of a second each."""
    _, said = split(20_000.0, teacher=TeacherConfig(spec="any", tune="head"))
    seconds = len(some_digits.splits["train"])
    assert f"teacher {seconds // 60}m {seconds % 60:02d}s" in said


def test_a_teacher_is_timed_at_the_side_in_its_name(split, monkeypatch):
    sides = []
    monkeypatch.setattr(
        _Pretrained, "take_resolution", lambda self, side: sides.append((self.spec, side))
    )
    split(2e4, teacher=TeacherConfig(spec="one@48,two", resolution=40))
    assert sides == [("one", 48), ("two", 40)]


def test_a_base_beside_the_teacher_is_tuned_too(split):
    alone = split(2e4)[0]
    both = split(2e4, base=BaseConfig(spec="another"))[0]
    assert both.teacher.epochs == both.base.epochs == pytest.approx(alone.teacher.epochs / 2, abs=1)


def test_a_base_has_its_own_length_beside_a_teacher_that_is_not_tuned(split):
    for teacher in (TeacherConfig(spec="trained"), TeacherConfig(spec="any", tune="head")):
        config, _ = split(2e4, teacher=teacher, base=BaseConfig(spec="another"))
        assert config.teacher.epochs is None and config.base.epochs > 1


def test_a_base_with_a_given_length_takes_its_time_from_the_teacher(split, some_digits):
    images = len(some_digits.splits["train"])
    config, _ = split(1e4, base=BaseConfig(spec="another", epochs=3))
    assert config.base.epochs == 3
    assert config.teacher.epochs == int((0.35 * 1e4 - 3 * images) / images)


def test_an_earlier_fine_tuning_of_almost_the_planned_length_is_taken(split, monkeypatch):
    planned = split(1e4)[0].teacher.epochs
    for near in (planned - 1, planned + 1):
        monkeypatch.setattr(budget_split, "tuned_before", lambda job, *_, n=near: job.epochs == n)
        config, said = split(1e4)
        assert config.teacher.epochs == near and "teacher 0s" in said


def test_a_base_among_the_teachers_is_tuned_once(split):
    teacher = TeacherConfig(spec="one,two")
    alone, both = (split(2e4, teacher=teacher, base=base)[1] for base in (None, BaseConfig(spec="two")))
    assert alone == both


def test_a_teacher_that_is_trained_already_takes_no_time_and_no_epochs(split):
    config, said = split(600.0, evaluator="train", teacher=TeacherConfig(spec="trained"))
    assert config.teacher.epochs is None and "teacher from the cache" in said
    assert config.timeout == pytest.approx(300)


def test_the_supernet_is_timed_at_the_largest_side_of_the_space(split, monkeypatch):
    sides = []
    monkeypatch.setattr(budget_split, "training_seconds", lambda _, side, __: sides.append(side) or 1.0)
    split(600.0, teacher=TeacherConfig(spec="trained"))
    assert sides == [32]


def test_latencies_that_are_measured_before_the_supernet_are_planned(split, monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(
        near_limits, "measure_architecture", lambda *_, **__: clock.append(clock[-1] + 0.5)
    )
    monkeypatch.setattr(near_limits.time, "perf_counter", lambda: clock[-1])
    trained = {"teacher": TeacherConfig(spec="trained"), "supernet": SupernetConfig(epochs=1)}
    split(2e4, **trained, limits=("macs<=500k",))
    assert len(clock) == 1
    monkeypatch.setattr(budget_split, "_supernet_step", lambda *_: 1.0)
    _, of_all = split(2e4, **{**trained, "supernet": SupernetConfig(epochs=1, sizes="all")})
    _, timed = split(2e4, **trained, limits=("latency_ms<=0.3",))
    assert len(clock) == 2
    assert _seconds(timed, "supernet") == _seconds(of_all, "supernet") + 15  # 30 of half a second


def test_latencies_of_a_profile_take_no_time():
    objectives = Objectives.parse(["f1"], ["latency_ms<=0.3"])
    assert near_limits.seconds_to_measure(Elastic((32,)), objectives, 3, "board.json") == 0.0


def _seconds(said: str, stage: str) -> int:
    minutes, seconds = re.search(rf"{stage} (?:(\d+)m )?(\d+)s", said).groups("0")
    return 60 * int(minutes) + int(seconds)
