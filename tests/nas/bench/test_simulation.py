"""Whole runs: the number of processes changes nothing, confirmations are no duplicates."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from core.errors import UserError
from nas.bench.simulated_runs import run_all
from nas.bench.simulation import Job, check_options, run_job
from nas.executors import Placement
from nas.executors.executor_checks import SilentWatcher


@pytest.fixture
def job(file: Path) -> Job:
    return Job(file, "random", trials=10, space="toy", confirm=3)


@pytest.mark.parametrize("workers", [1, 3])
def test_confirmations_are_no_duplicates(job: Job, workers: int) -> None:
    found = run_job(replace(job, workers=workers), 0)
    assert len(found.selected) == 10
    assert (found.duplicates, found.over_limit) == (0, 0)


def test_processes_change_nothing(job: Job) -> None:
    places = [Placement(workers=1), Placement(workers=2)]
    one, two = (run_all(job, 4, SilentWatcher(), placement=place) for place in places)
    assert [list(run.selected) for run in one] == [list(run.selected) for run in two]
    assert len({tuple(run.selected) for run in one}) > 1


@pytest.mark.slow
def test_a_cluster_changes_nothing(job: Job, ray_cluster) -> None:
    ray_cluster.two_nodes()
    watcher = SilentWatcher()
    here = run_all(job, 4, watcher, placement=Placement(workers=1))
    there = run_all(job, 4, watcher, placement=Placement("ray"))
    assert any("room for" in note for note in watcher.notes)
    assert [list(run.selected) for run in there] == [list(run.selected) for run in here]


def test_progress_is_heard(job: Job) -> None:
    heard: list[tuple[int, int]] = []
    hear = partial(run_all, progress=lambda done, total: heard.append((done, total)))
    hear(job, 3, SilentWatcher(), placement=Placement(workers=1))
    assert heard == [(1, 3), (2, 3), (3, 3)]


def test_an_option_that_fits_no_strategy() -> None:
    check_options(["random", "tpe"], {"startup": 3})
    with pytest.raises(UserError, match="unknown strategy option 'startup': none of random has it"):
        check_options(["random"], {"startup": 3})
