"""Whole runs: the number of processes changes nothing, confirmations are no duplicates."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from core.errors import UserError
from nas.bench.simulation import Job, check_options, run_all, run_job


@pytest.fixture
def job(file: Path) -> Job:
    return Job(file, "random", trials=10, space="toy", confirm=3)


@pytest.mark.parametrize("workers", [1, 3])
def test_confirmations_are_no_duplicates(job: Job, workers: int) -> None:
    found = run_job(replace(job, workers=workers), 0)
    assert len(found.selected) == 10
    assert (found.duplicates, found.over_limit) == (0, 0)


def test_processes_change_nothing(job: Job) -> None:
    one, two = (run_all(job, 4, processes=processes) for processes in (1, 2))
    assert [list(run.selected) for run in one] == [list(run.selected) for run in two]
    assert len({tuple(run.selected) for run in one}) > 1


def test_progress_is_heard(job: Job) -> None:
    heard: list[tuple[int, int]] = []
    run_all(job, 3, processes=1, progress=lambda done, total: heard.append((done, total)))
    assert heard == [(1, 3), (2, 3), (3, 3)]


def test_an_option_that_fits_no_strategy() -> None:
    check_options(["random", "tpe"], {"startup": 3})
    with pytest.raises(UserError, match="unknown strategy option 'startup': none of random has it"):
        check_options(["random"], {"startup": 3})
