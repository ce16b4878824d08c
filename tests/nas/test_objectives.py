"""Goals, limits, dominance and the choice of one network."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest

from core.errors import UserError
from nas.objectives import METRICS, Limit, Objective, Objectives, parse_limit
from nas.spaces.toy import Toy
from nas.trial import Proposal, Trial

NETWORK = Toy().decode((0, 0, 0, 0))


def trial(number: int, **metrics: float) -> Trial:
    """A trial of a network of its own."""
    network = replace(NETWORK, resolution=NETWORK.resolution + number)
    return Proposal(number, (0, 0, 0, 0), network, number).complete(metrics)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("f1:max", Objective("f1", True)),
        ("f1", Objective("f1", True)),
        ("params", Objective("params", False)),
        ("latency_ms:min", Objective("latency_ms", False)),
        ("macs:max", Objective("macs", True)),
    ],
)
def test_goals(text: str, expected: Objective) -> None:
    assert Objectives.parse([text]).goals == (expected,)
    assert Objectives.parse([str(expected)]).goals == (expected,)


def test_f1_is_the_default_goal() -> None:
    assert Objectives.parse([]).goals == (Objective("f1", True),)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("params<=300k", Limit("params", True, 300_000)),
        ("macs<=2.03M", Limit("macs", True, 2_030_000)),
        ("f1>=95%", Limit("f1", False, 0.95)),
        ("params <= 300K", Limit("params", True, 300_000)),
        ("params<=0.3M", Limit("params", True, 300_000)),
        ("macs<=1.5G", Limit("macs", True, 1.5e9)),
        ("macs<=45e6", Limit("macs", True, 45e6)),
        ("f1>=80%", Limit("f1", False, 0.8)),
        ("latency_ms<=3", Limit("latency_ms", True, 3)),
    ],
)
def test_limits(text: str, expected: Limit) -> None:
    (limit,) = Objectives.parse(["f1"], [text]).limits
    assert limit == expected


@pytest.mark.parametrize("goal", ["speed", "f1:up", "f1:", ":max", "", "F1", "f1:max:min"])
def test_malformed_goals(goal: str) -> None:
    if goal == "f1:":  # no direction is the metric's own
        assert Objectives.parse([goal]).goals == (Objective("f1", True),)
        return
    with pytest.raises(UserError, match="objective"):
        Objectives.parse([goal])


def test_unknown_metrics_list_the_known() -> None:
    for make in (lambda: Objectives.parse(["speed"]), lambda: Objectives.parse(["f1"], ["speed<=3"])):
        with pytest.raises(UserError) as error:
            make()
        assert all(metric in str(error.value) for metric in METRICS)


@pytest.mark.parametrize(
    "limit",
    ["params", "params<300k", "params=300k", "params<=", "<=3", "params<=3x", "params<=-3", "params<=.", "params<=1..2",
     "params<=300kk", "params<=k", "params<=3 4", "params<=nan"],
)  # fmt: skip
def test_malformed_limits(limit: str) -> None:
    with pytest.raises(UserError, match="limit"):
        Objectives.parse(["f1"], [limit])


@pytest.mark.parametrize(
    "limit", ["train_seconds<=2m", "latency_ms<=1k", "params<=3%", "f1>=60", "f1>=101%", "macs<=0"]
)
def test_limits_that_are_hardly_meant_are_refused_where_they_are_typed(limit: str) -> None:
    with pytest.raises(UserError, match="limit"):
        parse_limit(limit)
    assert len(Objectives.parse(["f1"], [limit]).limits) == 1  # in a run, they are as they were


def test_a_goal_twice_is_refused() -> None:
    with pytest.raises(UserError, match="f1 is given twice"):
        Objectives.parse(["f1:max", "params", "f1:min"])


def test_violation_is_relative_and_zero_only_within() -> None:
    wanted = Objectives.parse(["f1"], ["params<=100", "f1>=0.5"])
    assert wanted.violation({"params": 100, "f1": 0.5}) == 0
    assert wanted.violation({"params": 150, "f1": 0.5}) == pytest.approx(0.5)
    assert wanted.violation({"params": 150, "f1": 0.25}) == pytest.approx(1.0)
    assert wanted.violation({"params": 101}) > 0
    assert wanted.violation({}) == 0
    assert math.isfinite(Objectives.parse(["f1"], ["params<=0"]).violation({"params": 1}))


@pytest.mark.parametrize("limit", ["latency_ms<=3", "latency_ms>=3"])
def test_a_limited_metric_that_is_no_number_is_outside(limit: str) -> None:
    wanted = Objectives.parse(["f1"], [limit])
    assert wanted.violation({"latency_ms": math.nan}) == math.inf
    assert wanted.best([trial(0, f1=0.9, latency_ms=math.nan)]) is None


def brute_force(wanted: Objectives, trials: list[Trial]) -> set[tuple[float, ...]]:
    """Loss vectors of feasible trials that no feasible trial dominates, by definition."""
    feasible = [
        wanted.losses(t.metrics)
        for t in trials
        if t.metrics
        and all(math.isfinite(v) for v in wanted.losses(t.metrics))
        and not wanted.violation(t.metrics)
    ]
    return {
        one
        for one in feasible
        if not any(
            all(a <= b for a, b in zip(other, one, strict=True)) and other != one for other in feasible
        )
    }


@pytest.mark.parametrize("goals", [["f1"], ["f1", "params"], ["f1:max", "params:min", "macs:max"]])
def test_the_front_is_what_the_definition_says(goals: list[str]) -> None:
    wanted = Objectives.parse(goals, ["latency_ms<=8"])
    rng = np.random.default_rng(0)
    for _ in range(40):
        trials = [
            trial(n, f1=rng.choice([*range(6), math.nan]), params=rng.integers(6), macs=rng.integers(6), latency_ms=rng.integers(10))
            for n in range(30)
        ]  # fmt: skip
        trials.append(trials[0].proposal.fail("no luck"))
        front = wanted.front(trials)
        losses = [wanted.losses(t.metrics or {}) for t in front]
        assert set(losses) == brute_force(wanted, trials)
        assert len(set(losses)) == len(losses), "equals once"
        assert losses == sorted(losses), "best in the first goal first"
        for kept in front:  # of equals, the earliest
            equal = [
                t
                for t in wanted.feasible(trials)
                if wanted.losses(t.metrics or {}) == wanted.losses(kept.metrics or {})
            ]
            assert kept.number == min(t.number for t in equal)
        for one, other in itertools.permutations(front, 2):
            assert not wanted.dominates(one.metrics or {}, other.metrics or {})


def test_best_breaks_ties_by_the_other_goals_then_by_age() -> None:
    wanted = Objectives.parse(["f1", "params"])
    trials = [
        trial(0, f1=0.8, params=9),
        trial(2, f1=0.9, params=5),
        trial(1, f1=0.9, params=5),
        trial(3, f1=0.9, params=7),
    ]
    best = wanted.best(trials)
    assert best is not None
    assert best.number == 1


def test_knee() -> None:
    wanted = Objectives.parse(["f1", "params"])
    trials = [trial(0, f1=0.5, params=0), trial(1, f1=0.9, params=10), trial(2, f1=1.0, params=100)]
    knee = wanted.knee(trials)
    assert knee is not None
    assert knee.number == 1
    only = wanted.knee(trials[:1])
    assert only is not None
    assert only.number == 0


@pytest.mark.parametrize("pick", ["best", "knee", "front"])
def test_nothing_to_choose(pick: str) -> None:
    wanted = Objectives.parse(["f1"], ["params<=10"])
    hopeless = [
        trial(0, f1=math.nan, params=1),
        trial(1, f1=0.9, params=11),
        trial(2, params=1),
        trial(3).proposal.fail(""),
    ]
    assert not getattr(wanted, pick)(hopeless)


def test_problem_names_the_goal() -> None:
    wanted = Objectives.parse(["f1", "params"])
    assert wanted.problem({"f1": 0.5, "params": 3}) is None
    assert wanted.problem({"f1": 0.5}) == "the evaluator returned no params"
    assert wanted.problem({"f1": math.inf, "params": 3}) == "f1 is inf"
