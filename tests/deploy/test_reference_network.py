"""The reference network: what it corrects, and where its own time is kept."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from core.errors import UserError
from deploy.device.address import Address
from deploy.device.agent import MIN_RUNS, undisturbed_seconds, undisturbed_times
from deploy.targets import session
from deploy.targets.onnx_runtime import OnnxRuntime
from deploy.targets.reference_network import reference_network
from deploy.targets.session import MAX_RUNS, Session


class Machine:
    """Runs that take their time by a clock of its own, longer while the machine is slow.

    Args:
        period: seconds after which it changes between its usual speed and half of it.
    """

    def __init__(self, period: float = 0.25) -> None:
        self.now, self.period = 0.0, period

    def run(self, seconds: float) -> None:
        slow = int(self.now / self.period) % 2
        self.now += seconds * (2 if slow else 1)

    def times(self, *seconds: float, budget_s: float = 60.0) -> tuple[list[np.ndarray], float]:
        """Measure functions that take so long, beside a reference of half a millisecond."""
        runs = [lambda each=each: self.run(each) for each in seconds]
        times, slowdown = undisturbed_times(
            runs, lambda: self.run(0.0005), 0.0005, lambda: self.now, MAX_RUNS, budget_s
        )
        return [np.array(own) for own in times], slowdown


def test_a_slow_machine_is_corrected() -> None:
    (first, second), slowdown = Machine().times(0.002, 0.0003)
    assert 0.99 <= slowdown <= 2
    assert len(first) == len(second) == MAX_RUNS
    assert np.median(first) == pytest.approx(0.002, rel=0.02)
    assert np.median(second) == pytest.approx(0.0003, rel=0.02)
    # blocks in which the machine changes its speed are wrong, and the median is not theirs
    assert np.mean(np.abs(first / 0.002 - 1) < 0.01) > 0.8


def test_a_machine_that_stays_slow_is_corrected() -> None:
    machine = Machine(period=1e9)
    machine.now = 1.5e9
    (times,), slowdown = machine.times(0.002)
    assert slowdown == pytest.approx(2, rel=1e-3)
    np.testing.assert_allclose(times, 0.002, rtol=1e-3)


def test_a_spent_budget_still_gives_enough_runs() -> None:
    (times,), _ = Machine().times(0.002, budget_s=0.0)
    assert MIN_RUNS <= len(times) < MAX_RUNS


def test_the_undisturbed_time_is_that_of_the_fast_state() -> None:
    machine = Machine(period=0.003)
    seconds = undisturbed_seconds(lambda: machine.run(0.0005), lambda: machine.now, 0.05)
    assert seconds == pytest.approx(0.0005, rel=1e-6)


@pytest.fixture
def opened(own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> Session:
    """A connection of its own, whose reference is timed for a moment only."""
    monkeypatch.setattr(session, "_REFERENCE_S", 0.01)
    monkeypatch.setattr(session, "_AGAIN_S", 0.01)
    return Session(OnnxRuntime(), Address())


def again(opened: Session) -> float:
    """The reference's seconds, as another process would find them."""
    opened.__dict__.pop("reference_s", None)
    return opened.reference_s


def stored(cache: Path, **changes: object) -> Path:
    """Change what is stored, and return its file."""
    (file,) = (cache / "reference").iterdir()
    content = json.loads(file.read_text())
    del content["checksum"]
    file.write_text(json.dumps({**content, **changes}))
    return file


def test_the_least_time_per_machine_counts(
    opened: Session, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert opened.reference_s > 0
    file = stored(own_cache, milliseconds=0.001)
    assert again(opened) == 0.000001
    monkeypatch.setattr(opened, "machine", "another machine")
    assert again(opened) != 0.000001
    assert len(list(file.parent.iterdir())) == 2


def test_a_time_of_a_busy_machine_is_replaced(opened: Session, own_cache: Path) -> None:
    assert opened.reference_s > 0
    file = stored(own_cache, milliseconds=5_000.0)
    seconds = again(opened)
    assert seconds < 4.5 and json.loads(file.read_text())["milliseconds"] == pytest.approx(1e3 * seconds)


def test_devices_of_the_same_kind_have_their_own(opened: Session, own_cache: Path) -> None:
    """Boards of one model may run at other clocks."""
    for host in ("one", "two"):
        opened.address = Address(host)
        assert again(opened) > 0
    assert len(list((own_cache / "reference").iterdir())) == 2


@pytest.mark.parametrize("content", ["", "[]", '{"milliseconds": -1, "runtime": "x", "machine": "y"}'])
def test_a_damaged_file_is_timed_again(opened: Session, own_cache: Path, content: str) -> None:
    assert opened.reference_s > 0
    (file,) = (own_cache / "reference").iterdir()
    file.write_text(content)
    assert 0 < again(opened) < 1
    assert json.loads(file.read_text())["milliseconds"] == pytest.approx(1e3 * opened.reference_s)


def test_a_cache_that_cannot_be_written(
    opened: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("MINNOW_CACHE", str(tmp_path / "file"))
    with pytest.raises(UserError, match="file"):
        again(opened)


def test_making_it_leaves_the_random_numbers_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    reference_network.cache_clear()
    reference_network()
    assert torch.equal(torch.rand(3), expected)
