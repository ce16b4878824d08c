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
    """Return the front of every point under constrained dominance.

    Front 0 is dominated by no point, front 1 by points of front 0 only, and so on.

    A point within the limits dominates every point beyond them; of two beyond, the one closer to them
    dominates (definition 1 of section VI).

    Args:
        losses: shape (points, goals), less is better.
        violations: shape (points,), 0 within all limits; ``None``: all are.
        least: stop after the front that brings the ranked points to this number; further points within
            the limits share the next rank.

    Returns:
        Shape (points,).
    """
    table = np.asarray(losses, dtype=float)
    beyond = np.zeros(len(table)) if violations is None else np.asarray(violations, dtype=float)
    fronts = np.zeros(len(table), dtype=np.int64)
    inside = np.flatnonzero(beyond <= 0)
    places = [np.unique(column, return_inverse=True)[1] for column in table[inside].T]
    left = inside[
        np.argsort(np.sum(places, axis=0), kind="stable")
    ]  # no point before one that dominates it
    rank = 0
    while len(left) and (least is None or len(inside) - len(left) < least):
        first = _undominated(table[left])
        fronts[left[first]] = rank
        left, rank = left[~first], rank + 1
    fronts[left] = rank
    outside = beyond > 0
    rank += len(left) > 0
    fronts[outside] = rank + np.unique(beyond[outside], return_inverse=True)[1]
    return fronts


def dominators(losses: ArrayLike, violations: ArrayLike | None = None) -> NDArray[np.int64]:
    """Count the points that dominate each point, under constrained dominance as in :func:`ranks`.

    All of them are in earlier fronts, whatever points are added.

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
    """Mark the rows that no other dominates; no row may come before one that dominates it."""
    undominated = np.zeros(len(table), dtype=bool)
    left = np.arange(len(table))
    while len(left):
        rows, first = table[left], table[left[0]]
        undominated[left[(rows == first).all(axis=1)]] = True
        left = left[(rows < first).any(axis=1)]
    return undominated


def crowding(losses: ArrayLike) -> NDArray[np.float64]:
    """Return the crowding distance within one front: the distance between a point's neighbours.

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
    """Return the sort keys of NSGA-II's selection, less is better: front, then negative crowding.

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
