"""Regret, hypervolume and counts, against numbers worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from core.errors import UserError
from nas.bench.regret import CurveSummary, Truth, hypervolume, trajectory
from nas.bench.table import Table
from nas.objectives import Objectives
from nas.trial import Proposal, Trial


def trial(
    table: Table, number: int, index: int, accuracy: float | None, parent: int | None = None
) -> Trial:
    """Training of the ``index``-th network of the table, whose true mean is 0.51 + 0.03 index."""
    point, row = list(table.rows.items())[index]
    proposal = Proposal(number, point, table.space.decode(point), number, parent=parent)
    return proposal.fail("x") if accuracy is None else proposal.complete(row.metrics(accuracy))


def truth_of(
    table: Table, *limits: str, goals: tuple[str, ...] = ("f1",), reference: float = 0.5
) -> Truth:
    return Truth.of(table, Objectives.parse(goals, limits), reference)


def test_the_incumbent_has_the_best_mean_observation(table: Table) -> None:
    """Twelve networks, the best at 0.84. A lucky 0.9 of network 2 (0.57) wins until it is trained again."""
    trials = [
        trial(table, 0, 5, 0.66),
        trial(table, 1, 2, 0.9),
        trial(table, 2, 8, None),
        trial(table, 3, 2, 0.3),
        trial(table, 4, 7, 0.6),
    ]
    run = trajectory(trials, truth_of(table), deliberate={3})
    assert run.selected == pytest.approx([18, 27, 27, 18, 18])
    assert run.visited == pytest.approx([18, 18, 18, 18, 12])
    assert (run.duplicates, run.over_limit, run.hypervolume.size) == (0, 0, 0)


def test_nothing_observed_within_the_limits_is_no_number(table: Table) -> None:
    """macs<=4.5k: four networks, the best at 0.60; the network beyond counts as over the limit."""
    trials = [trial(table, 0, 1, None), trial(table, 1, 9, 0.8), trial(table, 2, 3, 0.6)]
    run = trajectory(trials, truth_of(table, "macs<=4.5k"))
    assert np.isnan(run.selected[:2]).all() and np.isnan(run.visited[:2]).all()
    assert (run.selected[2], run.visited[2]) == pytest.approx((0, 0))
    assert run.over_limit == 1


def test_repeats_count_unless_they_are_meant(table: Table) -> None:
    trials = [trial(table, 0, 1, 0.5), trial(table, 1, 1, 0.5), trial(table, 2, 1, 0.5, parent=1)]
    assert trajectory(trials, truth_of(table)).duplicates == 1
    assert trajectory(trials, truth_of(table), deliberate={1}).duplicates == 0


def test_hypervolume_by_hand() -> None:
    """Two steps of a staircase from (0.5, 10): 0.2 x 8 + 0.1 x 4."""
    points = [(0.7, 2.0), (0.8, 6.0), (0.75, 7.0), (0.4, 1.0), (0.9, 10.0)]
    assert hypervolume(points, (0.5, 10.0)) == pytest.approx(2.0)
    assert hypervolume(points[::-1], (0.5, 10.0)) == pytest.approx(2.0)
    assert hypervolume([], (0.5, 10.0)) == 0


def test_hypervolume_is_judged_by_true_means(table: Table) -> None:
    """The whole table is the whole volume, however the trainings went."""
    truth = truth_of(table, goals=("f1", "macs"))
    trials = [trial(table, i, i, 0.1 if i % 2 else 0.9) for i in range(len(table.rows))]
    run = trajectory(trials, truth)
    assert run.hypervolume[-1] == pytest.approx(1)
    assert np.all(np.diff(run.hypervolume) >= 0)
    assert run.hypervolume[0] == pytest.approx(0.01 * 11_000 / truth.volume)


@pytest.mark.parametrize(
    ("goals", "limits", "message"),
    [
        (["macs"], [], "first objective is accuracy:max or f1:max"),
        (["f1:min"], [], "f1:min"),
        (["f1", "latency_ms"], [], "does not know latency_ms"),
        (["f1"], ["macs<=10"], "no network of the table meets macs<=10"),
    ],
)
def test_what_a_table_cannot_judge(
    table: Table, goals: list[str], limits: list[str], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        Truth.of(table, Objectives.parse(goals, limits))


def test_summary_by_hand() -> None:
    runs = [np.array([np.nan, 1.0, 1.0]), np.array([np.nan, 3.0]), np.array([np.nan, np.nan, 5.0])]
    summary = CurveSummary.of(runs)
    assert np.isnan(summary.mean[0]) and np.isnan(summary.median[0])
    assert summary.mean[1:] == pytest.approx([2, 3])
    assert summary.error[1:] == pytest.approx([1, 2 / np.sqrt(3)])
    assert (summary.lower[2], summary.median[2], summary.upper[2]) == pytest.approx((2, 3, 4))
