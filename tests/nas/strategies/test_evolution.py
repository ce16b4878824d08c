"""Aging evolution: who lives, who is mutated, and what limits do."""

from __future__ import annotations

import numpy as np

from nas.objectives import Objectives
from nas.spaces.macro import Macro
from nas.strategies.evolution import Evolution
from nas.trial import Proposal

SPACE = Macro()


def told(goals: list[str], metrics: list[dict[str, float]], limits: list[str] | None = None) -> Evolution:
    """A population of three that was told ``metrics``, of different networks."""
    strategy = Evolution(
        SPACE, Objectives.parse(goals, limits or []), num_classes=10, population=3, sample=3
    )
    points = list(SPACE.points())
    for number, values in enumerate(metrics):
        point = points[number * 400]
        strategy.tell(Proposal(number, point, SPACE.decode(point), number).complete(values))
    return strategy


def alive(strategy: Evolution) -> list[float]:
    return [-individual.losses[0] for individual in strategy._population]


def test_the_oldest_dies_even_if_it_is_the_best() -> None:
    assert alive(told(["f1"], [{"f1": value} for value in (0.9, 0.1, 0.2, 0.3)])) == [0.1, 0.2, 0.3]


def test_with_several_goals_the_worst_dies() -> None:
    rows = [(0.9, 5.0), (0.1, 9.0), (0.5, 1.0), (0.7, 3.0)]
    strategy = told(["f1", "latency_ms"], [{"f1": f1, "latency_ms": ms} for f1, ms in rows])
    assert alive(strategy) == [0.9, 0.5, 0.7]


def test_on_one_front_the_most_crowded_dies() -> None:
    rows = [(0.1, 1.0), (0.5, 5.0), (0.51, 5.1), (0.9, 9.0)]
    strategy = told(["f1", "latency_ms"], [{"f1": f1, "latency_ms": ms} for f1, ms in rows])
    assert len(alive(strategy)) == 3
    assert {0.1, 0.9} < set(alive(strategy))


def test_failed_trials_neither_live_nor_age() -> None:
    strategy = told(["f1"], [{"f1": value} for value in (0.1, float("nan"), 0.2, 0.3)])
    assert alive(strategy) == [0.1, 0.2, 0.3]


def test_a_child_is_one_decision_from_the_winner() -> None:
    strategy = told(["f1"], [{"f1": value} for value in (0.1, 0.9, 0.2)])
    winner = strategy._population[1].choices
    for number in range(20):
        child = strategy.propose(np.random.default_rng(number))
        assert sum(a != b for a, b in zip(child, winner, strict=True)) == 1


def test_within_a_late_limit_beats_beyond_it_and_closer_beats_further() -> None:
    rows = [(0.9, 90.0), (0.1, 9.0), (0.8, 20.0)]
    metrics = [{"f1": f1, "train_seconds": seconds} for f1, seconds in rows]
    strategy = told(["f1"], metrics, ["train_seconds<=10"])
    assert [order[0] for order in strategy._order] == [2, 0, 1]
