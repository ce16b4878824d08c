"""Which network a pick names: rules, conditions, repeats, and what is said where there is none."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from core.errors import UserError
from nas.objectives import Objectives
from nas.selection import pick
from nas.spaces.toy import Toy
from nas.trial import Proposal, Trial

NETWORK = Toy().decode((0, 0, 0, 0))
GOALS = Objectives.parse(["f1", "params", "latency_ms"], ["params<=300"])


def trial(number: int, network: int | None = None, epochs: int | None = None, **metrics: float) -> Trial:
    """A trial of network ``network``, by default of one of its own."""
    which = replace(NETWORK, resolution=32 + (number if network is None else network))
    return Proposal(number, (), which, number, epochs=epochs).complete(metrics)


TRIALS = [
    trial(0, f1=0.9, params=200, latency_ms=3.0),
    trial(1, f1=0.7, params=100, latency_ms=2.0),
    trial(2, f1=0.65, params=150, latency_ms=0.5),
    trial(3, f1=0.5, params=50, latency_ms=0.1),
    trial(4, f1=0.99, params=400, latency_ms=9.0),  # beyond the limit
    trial(5).proposal.fail("no luck"),
]


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("best", 0),
        ("smallest", 3),
        ("fastest", 3),
        ("smallest:f1>=0.6", 1),
        ("fastest:f1>=0.6", 2),
        ("smallest:f1>=60%,latency_ms<=1", 2),
        ("smallest : f1 >= 0.6 , latency_ms <= 1", 2),
        ("best:latency_ms<=2", 1),
        ("best:params<=0.12k", 1),
        ("smallest:f1>=0.9", 0),
    ],
)
def test_rules_and_conditions(text: str, number: int) -> None:
    assert pick(TRIALS, GOALS, text).number == number


def test_best_and_knee_without_conditions_are_those_of_the_study() -> None:
    for one in (pick(TRIALS, GOALS, "best"), pick(TRIALS, GOALS, "knee")):
        assert one in (GOALS.best(TRIALS), GOALS.knee(TRIALS))
    assert pick(TRIALS, GOALS, "knee:f1>=0.6") == GOALS.knee(TRIALS[:3])


def test_a_random_study_by_definition() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        trials = [
            trial(n, f1=rng.integers(10) / 10, params=rng.integers(1, 400), latency_ms=rng.integers(5))
            for n in range(15)
        ]
        meeting = [t.metrics for t in trials if t.metrics["f1"] >= 0.4 and t.metrics["params"] <= 300]
        if meeting:
            chosen = pick(trials, GOALS, "smallest:f1>=0.4").metrics
            assert chosen["params"] == min(metrics["params"] for metrics in meeting)
            equal = [metrics for metrics in meeting if metrics["params"] == chosen["params"]]
            assert chosen["f1"] == max(metrics["f1"] for metrics in equal), "ties go by the goals"


def test_a_network_that_was_trained_again_counts_with_its_mean() -> None:
    lucky = [*TRIALS, trial(6, network=1, f1=0.4, params=100, latency_ms=2.0)]  # 0.55 with the 0.7
    assert pick(TRIALS, GOALS, "smallest:f1>=0.6").number == 1
    assert pick(lucky, GOALS, "smallest:f1>=0.6").number == 2
    confirmed = pick(lucky, GOALS, "smallest:f1>=0.55,params>=60")
    assert confirmed.number == 1 and confirmed.metrics["f1"] == pytest.approx(0.55)


def test_short_trainings_are_not_compared_with_full_ones() -> None:
    trials = [
        trial(0, epochs=1, f1=0.9, params=10, latency_ms=1),
        trial(1, epochs=9, f1=0.8, params=20, latency_ms=1),
    ]
    assert pick(trials, GOALS, "smallest:f1>=0.6").number == 1


def test_what_the_nearest_has_where_none_meets_it() -> None:
    with pytest.raises(UserError) as error:
        pick(TRIALS, GOALS, "smallest:f1>=0.95,latency_ms<=3", "runs/a")
    assert "no trial of runs/a meets f1>=0.95, latency_ms<=3" in str(error.value)
    assert "trial 0, has f1 0.9, latency_ms 3" in str(error.value)
    assert "\n" not in str(error.value)


def test_a_condition_on_what_was_not_measured_is_not_met() -> None:
    trials = [*TRIALS[:2], trial(7, f1=0.6, params=90, latency_ms=1, score=1.2)]
    assert pick(trials, GOALS, "smallest:score<=9").number == 7
    mixed = [
        trial(0, f1=0.5, params=1, latency_ms=1, score=1.0),
        trial(1, f1=0.5, params=2, latency_ms=1, total_seconds=1.0),
    ]
    with pytest.raises(UserError, match="none has both score and total_seconds"):
        pick(mixed, GOALS, "smallest:score<=9,total_seconds<=9")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("worst", "smallest, fastest"),
        ("smallest:f1", "malformed"),
        ("smallest:", "malformed"),
        ("smallest:f1>=0.5,", "malformed"),
        ("smallest:speed>=3", "unknown metric 'speed'; known: f1, params, latency_ms"),
    ],
)
def test_malformed(text: str, message: str) -> None:
    with pytest.raises(UserError, match="pick") as error:
        pick(TRIALS, GOALS, text)
    assert message in str(error.value)


def test_nothing_within_the_limits() -> None:
    with pytest.raises(UserError, match="no trial of runs/a meets the limits"):
        pick(TRIALS[4:], GOALS, "smallest", "runs/a")
