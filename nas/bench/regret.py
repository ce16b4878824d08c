"""Regret and hypervolume of a search, against the table's true accuracies.

The protocol: one evaluation observes one recorded accuracy of a network. After each evaluation the
incumbent is the network, within the limits, with the best observed value of the first goal; where a
network was observed more than once, with the best mean. Its *selected regret* is the best mean accuracy
among networks within the limits, less the incumbent's mean accuracy, in points (hundredths). The
*visited regret* takes the best mean accuracy of any network evaluated instead, so it shows the search
without the selection noise. Every evaluation counts, confirmations included.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.errors import UserError
from nas.bench.table import Table, TableRow
from nas.objectives import COSTS, Objectives
from nas.trial import Trial

REFERENCE_ACCURACY = 0.85  # of the hypervolume, as published for NAS-Bench-Macro's accuracy range
_ACCURACIES = ("accuracy", "f1")

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Truth:
    """The table's true values for the networks within the limits.

    Attributes:
        table: all networks.
        objectives: the first goal is the accuracy (or F1, which the table takes to be the same).
        best: best mean accuracy within the limits.
        cost: metric of the second goal where it is ``macs`` or ``params``; ``None``: no hypervolume,
            also where no network is more accurate than the reference.
        reference: accuracy and cost of the hypervolume's reference point.
        volume: hypervolume of the true front.
    """

    table: Table
    objectives: Objectives
    best: float
    cost: str | None
    reference: tuple[float, float]
    volume: float

    @classmethod
    def of(
        cls, table: Table, objectives: Objectives, reference_accuracy: float = REFERENCE_ACCURACY
    ) -> Truth:
        """Compute the true values for a table and a search's objectives.

        Args:
            table: all networks.
            objectives: of the searches.
            reference_accuracy: 0 to 1; the reference cost is the largest in the table.

        Raises:
            UserError: the first goal is no accuracy, or no network meets the limits.
        """
        first, *others = objectives.goals
        if first.metric not in _ACCURACIES or not first.maximize:
            raise UserError(f"objective {first}: a benchmark's first objective is accuracy:max or f1:max")
        metrics = [*_ACCURACIES, *COSTS]
        for metric in (*objectives.names, *(limit.metric for limit in objectives.limits)):
            if metric not in metrics:
                raise UserError(f"the table does not know {metric}; it knows {', '.join(metrics)}")
        within = [row for row in table.rows.values() if objectives.violation(row.metrics(row.mean)) == 0]
        if not within:
            wanted = ", ".join(map(str, objectives.limits))
            raise UserError(f"no network of the table meets {wanted}; loosen a limit")
        cost = others[0].metric if [goal.metric for goal in others] in (["macs"], ["params"]) else None
        reference = (reference_accuracy, 0.0)
        volume = 0.0
        if cost is not None:
            reference = (reference_accuracy, max(_cost(row, cost) for row in table.rows.values()))
            volume = hypervolume(((row.mean, _cost(row, cost)) for row in within), reference)
            cost = cost if volume > 0 else None
        return cls(table, objectives, max(row.mean for row in within), cost, reference, volume)


@dataclass(frozen=True)
class Trajectory:
    """One run, after each of its n evaluations.

    Attributes:
        selected: (n,) selected regret, points; NaN while nothing within the limits was observed.
        visited: (n,) visited regret, points; NaN likewise.
        hypervolume: (n,) share of the true front's hypervolume, by the true mean accuracies of the
            networks evaluated; empty where the goals are not accuracy and a cost.
        duplicates: networks trained that had been trained before, deliberate repeats not counted.
        over_limit: networks trained that cannot meet the limits on params or macs.
        ask_seconds: median time of one ask.
    """

    selected: Floats
    visited: Floats
    hypervolume: Floats
    duplicates: int
    over_limit: int
    ask_seconds: float = math.nan


def trajectory(
    trials: Sequence[Trial], truth: Truth, deliberate: Collection[int] = (), ask_seconds: float = math.nan
) -> Trajectory:
    """Compute regret and hypervolume after each trial of a run.

    Args:
        trials: in the order they ended.
        truth: of the table.
        deliberate: numbers of trials that re-train or continue a known network on purpose.
        ask_seconds: median time of one ask, passed on.
    """
    objectives, table = truth.objectives, truth.table
    observed: dict[tuple[int, ...], list[float]] = {}  # within the limits
    trained: set[tuple[int, ...]] = set()
    front: list[tuple[float, float]] = []
    selected, visited, share = [], [], []
    best_visited, duplicates, over_limit = -math.inf, 0, 0
    for trial in sorted(trials, key=lambda trial: trial.number):
        repeat = trial.number in deliberate or trial.proposal.parent is not None
        if trial.choices in trained and not repeat:
            duplicates += 1
        trained.add(trial.choices)
    for trial in trials:
        row = table[trial.choices]
        costs = {"params": float(row.params), "macs": float(row.macs)}
        over_limit += objectives.violation(costs) > 0
        if trial.metrics is not None and objectives.violation(trial.metrics) == 0:
            goal = objectives.values(trial.metrics)[0]
            observed.setdefault(trial.choices, []).append(goal)
            if objectives.violation(row.metrics(row.mean)) == 0:
                best_visited = max(best_visited, row.mean)
                if truth.cost is not None:
                    front.append((row.mean, _cost(row, truth.cost)))
        selected.append(_regret(truth, _incumbent(observed, table)))
        visited.append(_regret(truth, best_visited))
        if truth.cost is not None:
            front = _front(front)
            share.append(hypervolume(front, truth.reference) / truth.volume)
    return Trajectory(
        np.array(selected), np.array(visited), np.array(share), duplicates, over_limit, ask_seconds
    )


def hypervolume(points: Iterable[tuple[float, float]], reference: tuple[float, float]) -> float:
    """Return the area that points dominate, with accuracy maximised and cost minimised.

    Args:
        points: (accuracy, cost) each; those not better than the reference in both add nothing.
        reference: (accuracy, cost) of the worst corner.
    """
    area = 0.0
    reached, worst_cost = reference
    for accuracy, cost in _front(points):
        if accuracy > reached and cost < worst_cost:
            area += (accuracy - reached) * (worst_cost - cost)
            reached = accuracy
    return area


@dataclass(frozen=True)
class CurveSummary:
    """R runs, after each of n evaluations; every array has shape (n,) and NaNs are left out.

    Attributes:
        mean: over runs.
        error: standard error of the mean.
        lower: first quartile.
        median: of the runs.
        upper: third quartile.
    """

    mean: Floats
    error: Floats
    lower: Floats
    median: Floats
    upper: Floats

    @classmethod
    def of(cls, runs: Sequence[Floats]) -> CurveSummary:
        """Summarise curves; a run that ended early (exhausted space) keeps its last value."""
        longest = max(len(run) for run in runs)
        values = np.array([np.pad(run, (0, longest - len(run)), mode="edge") for run in runs])
        count = np.sum(~np.isnan(values), axis=0)
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = np.nansum(values, axis=0) / count
            variance = np.nansum((values - mean) ** 2, axis=0) / (count - 1)
            error = np.sqrt(variance / count)
        filled = np.where(count > 0, values, 0.0)  # a column of NaN alone would warn
        quartiles = np.nanpercentile(filled, (25, 50, 75), axis=0)
        lower, median, upper = np.where(count > 0, quartiles, np.nan)
        return cls(mean, error, lower, median, upper)


def _incumbent(observed: dict[tuple[int, ...], list[float]], table: Table) -> float:
    """Return the true mean accuracy of the first network with the best observed mean."""
    if not observed:
        return -math.inf
    return table[max(observed, key=lambda point: sum(observed[point]) / len(observed[point]))].mean


def _regret(truth: Truth, accuracy: float) -> float:
    return 100 * (truth.best - accuracy) if math.isfinite(accuracy) else math.nan


def _front(points: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return the non-dominated points, cheapest first."""
    front: list[tuple[float, float]] = []
    for accuracy, cost in sorted(points, key=lambda point: (point[1], -point[0])):
        if not front or accuracy > front[-1][0]:
            front.append((accuracy, cost))
    return front


def _cost(row: TableRow, metric: str) -> float:
    return float(row.macs if metric == "macs" else row.params)
