"""Fronts and crowding against brute force and closed forms."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from nas import pareto


def brute_ranks(losses: np.ndarray, violations: np.ndarray) -> list[int]:
    """Peel fronts off by Deb's definition, pair by pair."""

    def dominates(a: int, b: int) -> bool:
        if violations[a] or violations[b]:
            return bool(violations[a] < violations[b])
        return bool(np.all(losses[a] <= losses[b]) and np.any(losses[a] < losses[b]))

    left, rank, found = set(range(len(losses))), 0, [0] * len(losses)
    while left:
        front = {b for b in left if not any(dominates(a, b) for a in left)}
        for index in front:
            found[index] = rank
        left, rank = left - front, rank + 1
    return found


def point_sets(seed: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Losses and violations of 25 points with ties, 20 times for each of 1, 2 and 3 goals."""
    rng = np.random.default_rng(seed)
    for goals in (1, 2, 3):
        for _ in range(20):
            losses = rng.integers(0, 5, size=(25, goals)).astype(float)
            yield losses, np.where(rng.random(25) < 0.4, rng.integers(1, 4, 25), 0).astype(float)


def test_ranks_are_those_of_the_definition() -> None:
    for losses, violations in point_sets(0):
        assert pareto.ranks(losses, violations).tolist() == brute_ranks(losses, violations)


def test_whoever_dominates_a_point_is_before_it_whatever_is_added() -> None:
    for losses, violations in point_sets(1):
        fewer = pareto.dominators(losses[:15], violations[:15])
        order = pareto.order(losses, violations)
        for point in range(15):
            earlier = sum(order[other] < order[point] for other in range(25))
            assert fewer[point] <= earlier
    assert pareto.dominators([[1, 2], [2, 1], [2, 2], [3, 3]]).tolist() == [0, 0, 2, 3]
    assert pareto.dominators([[0], [0], [9]], [3, 2, 0]).tolist() == [2, 1, 0]


def test_without_limits_every_point_counts() -> None:
    assert pareto.ranks([[1, 2], [2, 1], [2, 2], [3, 3]]).tolist() == [0, 0, 1, 2]
    assert pareto.ranks([[0], [1]], [np.inf, 2]).tolist() == [1, 0]


def test_crowding_is_infinite_at_the_ends_and_the_gap_between() -> None:
    distance = pareto.crowding([[0, 4], [1, 3], [4, 0]])
    assert distance.tolist() == [np.inf, 2.0, np.inf]
    assert np.isinf(pareto.crowding([[1, 1], [1, 1]])).all()
    assert pareto.crowding([[2.0, 3.0]]).tolist() == [np.inf]


def test_ranking_stops_once_enough_points_have_a_rank() -> None:
    rng = np.random.default_rng(0)
    losses = rng.integers(0, 9, size=(60, 2)).astype(float)
    violations = np.where(rng.random(60) < 0.3, 1.0, 0.0)
    whole, some = pareto.ranks(losses, violations), pareto.ranks(losses, violations, least=10)
    last = np.sort(whole)[9]
    inside = violations == 0
    assert (some[whole <= last] == whole[whole <= last]).all()
    assert (some[inside & (whole > last)] == last + 1).all()
    assert (some[~inside] == last + 2).all()
