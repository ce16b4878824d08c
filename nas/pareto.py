"""Ranking by Pareto dominance under constraints.

Source: Deb et al., "A fast and elitist multiobjective genetic algorithm: NSGA-II", IEEE Transactions on
Evolutionary Computation 6(2), 2002: section III-A (ranks), III-B (crowding distance), VI (constraints).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


def ranks(
    losses: ArrayLike, violations: ArrayLike | None = None, least: int | None = None
) -> NDArray[np.int64]:
    """Front of every point under constrained dominance: 0 is dominated by none, 1 by front 0 only ...

    A point within the limits dominates every point beyond them; of two beyond, the one closer to them
    dominates (definition 1 of section VI).

    Args:
        losses: shape (points, goals), less is better.
        violations: shape (points,), 0 within all limits; ``None``: all are.
        least: stop after the front with which so many points are ranked; further points within the
            limits share the rank after it.

    Returns:
        Shape (points,).
    """
    table = np.asarray(losses, dtype=float)
    beyond = np.zeros(len(table)) if violations is None else np.asarray(violations, dtype=float)
    found = np.zeros(len(table), dtype=np.int64)
    inside = np.flatnonzero(beyond <= 0)
    places = [np.unique(column, return_inverse=True)[1] for column in table[inside].T]
    left = inside[np.argsort(np.sum(places, axis=0), kind="stable")]  # none before what dominates it
    rank = 0
    while len(left) and (least is None or len(inside) - len(left) < least):
        first = _undominated(table[left])
        found[left[first]] = rank
        left, rank = left[~first], rank + 1
    found[left] = rank
    outside = beyond > 0
    rank += len(left) > 0
    found[outside] = rank + np.unique(beyond[outside], return_inverse=True)[1]
    return found


def dominators(losses: ArrayLike, violations: ArrayLike | None = None) -> NDArray[np.int64]:
    """How many points dominate each point, under constrained dominance as in :func:`ranks`.

    Every one of them is in an earlier front, whatever points are added.

    Args:
        losses: shape (points, goals), less is better.
        violations: shape (points,), 0 within all limits; ``None``: all are.

    Returns:
        Shape (points,).
    """
    table = np.asarray(losses, dtype=float)
    beyond = np.zeros(len(table)) if violations is None else np.asarray(violations, dtype=float)
    no_worse = (table[:, None] <= table[None, :]).all(axis=2)
    better = (table[:, None] < table[None, :]).any(axis=2)
    both_within = (beyond[:, None] <= 0) & (beyond[None, :] <= 0)
    dominates = (both_within & no_worse & better) | (beyond[:, None] < beyond[None, :])
    return np.asarray(dominates.sum(axis=0))


def _undominated(table: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which rows no other dominates, where none comes before a row that dominates it."""
    found = np.zeros(len(table), dtype=bool)
    left = np.arange(len(table))
    while len(left):
        rows, first = table[left], table[left[0]]
        found[left[(rows == first).all(axis=1)]] = True
        left = left[(rows < first).any(axis=1)]
    return found


def crowding(losses: ArrayLike) -> NDArray[np.float64]:
    """Crowding distance within one front: how far the neighbours of a point are from each other.

    Args:
        losses: shape (points, goals).

    Returns:
        Shape (points,): sum over goals of the neighbours' distance as a share of the front's range;
        infinite at the ends.
    """
    table = np.asarray(losses, dtype=float)
    distance = np.zeros(len(table))
    for values in table.T:
        order = np.argsort(values, kind="stable")
        span = float(np.ptp(values)) or 1.0
        distance[order[[0, -1]]] = np.inf
        distance[order[1:-1]] += (values[order[2:]] - values[order[:-2]]) / span
    return distance


def order(losses: ArrayLike, violations: ArrayLike | None = None) -> list[tuple[float, float]]:
    """Sort keys of NSGA-II's selection, less is better: the front of each point, then how crowded it is.

    Args:
        losses: shape (points, goals).
        violations: as in :func:`ranks`.
    """
    table = np.asarray(losses, dtype=float)
    fronts = ranks(table, violations)
    crowded = np.zeros(len(table))
    for front in np.unique(fronts):
        members = fronts == front
        crowded[members] = -crowding(table[members])
    return list(zip(fronts.tolist(), crowded.tolist(), strict=True))
