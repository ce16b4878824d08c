"""The reference network: what it corrects, and where its own time is kept."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from core.errors import UserError
from deploy import latency_measurement, reference_network
from deploy.latency_measurement import undisturbed_times
from deploy.reference_network import reference_ms, reference_run
from deploy.timing import MAX_RUNS, MIN_RUNS


class Machine:
    """Runs that take their time by a clock of its own, longer while the machine is slow.

    Args:
        period: seconds after which it changes between its usual speed and half of it.
    """

    def __init__(self, period: float) -> None:
        self.now, self._period = 0.0, period

    def run(self, seconds: float) -> None:
        slow = int(self.now / self._period) % 2
        self.now += seconds * (2 if slow else 1)

    def clock(self) -> float:
        return self.now


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    made = Machine(period=0.25)
    monkeypatch.setattr(latency_measurement, "thread_clock", lambda: made.clock)
    monkeypatch.setattr(latency_measurement, "reference_run", lambda: lambda: made.run(0.0005))
    monkeypatch.setattr(latency_measurement, "reference_ms", lambda: 0.5)
    return made


def test_a_slow_machine_is_corrected(machine: Machine) -> None:
    runs = [lambda: machine.run(0.002), lambda: machine.run(0.0003)]
    (first, second), slowdown = undisturbed_times(runs, most=MAX_RUNS, budget_s=60.0)
    assert 0.99 <= slowdown <= 2
    assert len(first) == len(second) == MAX_RUNS
    assert np.median(first) == pytest.approx(0.002, rel=0.02)
    assert np.median(second) == pytest.approx(0.0003, rel=0.02)
    # blocks in which the machine changes its speed are wrong, and the median is not theirs
    assert np.mean(np.abs(first / 0.002 - 1) < 0.01) > 0.8


def test_a_machine_that_stays_slow_is_corrected(machine: Machine) -> None:
    machine._period, machine.now = 1e9, 1.5e9
    (times,), slowdown = undisturbed_times([lambda: machine.run(0.002)], most=MAX_RUNS, budget_s=60.0)
    assert slowdown == pytest.approx(2, rel=1e-3)
    np.testing.assert_allclose(times, 0.002, rtol=1e-3)


def test_a_spent_budget_still_gives_enough_runs(machine: Machine) -> None:
    (times,), _ = undisturbed_times([lambda: machine.run(0.002)], most=MAX_RUNS, budget_s=0.0)
    assert MIN_RUNS <= len(times) < MAX_RUNS
    assert undisturbed_times([], most=MAX_RUNS, budget_s=0.0) == ([], 1.0)


@pytest.fixture
def timed(own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cache of a machine that has timed its reference, for a moment only."""
    monkeypatch.setattr(reference_network, "_SECONDS", 0.01)
    reference_network._stored_ms.cache_clear()
    assert reference_ms() > 0
    reference_network._stored_ms.cache_clear()
    (file,) = (own_cache / "reference").iterdir()
    return file


def test_it_is_timed_once_per_machine(timed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = json.loads(timed.read_text())
    del content["checksum"]
    timed.write_text(json.dumps({**content, "milliseconds": 12.5}))
    assert reference_ms() == 12.5
    monkeypatch.setattr(reference_network, "machine_name", lambda: "another machine")
    assert reference_ms() != 12.5
    assert len(list(timed.parent.iterdir())) == 2


@pytest.mark.parametrize("content", ["", "[]", '{"milliseconds": -1, "runtime": "x", "machine": "y"}'])
def test_a_damaged_file_is_timed_again(timed: Path, content: str) -> None:
    timed.write_text(content)
    assert 0 < reference_ms() < 1e3
    assert json.loads(timed.read_text())["milliseconds"] == reference_ms()


def test_a_cache_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("MINNOW_CACHE", str(tmp_path / "file"))
    monkeypatch.setattr(reference_network, "_SECONDS", 0.01)
    with pytest.raises(UserError, match="file"):
        reference_ms()


def test_making_it_leaves_the_random_numbers_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    reference_run.cache_clear()
    reference_run()
    assert torch.equal(torch.rand(3), expected)
