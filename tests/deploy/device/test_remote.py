"""Measuring on another machine: a real ssh server on 127.0.0.1, cut off, switched off, wrong or full."""

from __future__ import annotations

import multiprocessing
import re
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import nn

from core.errors import UserError
from deploy.device import program
from deploy.device.address import Address
from deploy.device.link import Link, ModelError
from deploy.targets import session
from deploy.targets.base import ConvertedModel, Target
from deploy.targets.conversion import convert
from deploy.targets.onnx_runtime import OnnxRuntime
from deploy.targets.session import Session

Run = Callable[[Link, str], list[float]]
Opened = Callable[..., Link]
Wait = Callable[[Callable[[], object]], None]
Later = Callable[..., Callable[[], Any]]

LOST = re.compile(r"device\d+ does not answer \((.+)\): measuring waits for it")
BACK = re.compile(r"device\d+ answers again after \d+ s")


def reasons(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return why the device did not answer, after checking that it answered at last."""
    *lost, back = [
        record.getMessage() for record in caplog.records if record.name == "deploy.device.link"
    ]
    assert BACK.fullmatch(back)
    matches = [LOST.fullmatch(line) for line in lost]
    assert all(matches), lost
    return [match[1] for match in matches if match]


class Scripted(Target):
    """The target of the runner whose models are commands."""

    runner: ClassVar[Path] = Path(__file__).parent / "scripted_runner.py"
    apart: ClassVar[bool] = False

    def convert(
        self, network: nn.Module, example: torch.Tensor, images: np.ndarray
    ) -> Mapping[str, bytes]:
        return {"model": b"good"}


@pytest.fixture
def brief(own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The reference is timed for a moment only."""
    monkeypatch.setattr(session, "_REFERENCE_S", 0.1)


def test_it_measures_and_classifies_as_here(device, brief: None, network: nn.Module) -> None:
    target = OnnxRuntime()
    model = convert(target, network, 32)
    images = np.random.default_rng(0).random((3, 3, 32, 32), dtype=np.float32)
    here, there = Session(target, Address()), Session(target, Address.parse(device.address()))
    try:
        np.testing.assert_array_equal(there.logits(model, images), here.logits(model, images))
        assert there.runtime() == f"{here.runtime()} on {here.machine}"
        for _ in range(10):  # a burst of other load can spoil one
            (first,), (second,) = here.measure([model]), there.measure([model])
            if 0.5 < first.median_ms / second.median_ms < 2:
                break
        else:
            pytest.fail(f"{first} here, {second} there")
    finally:
        here.close()
        there.close()


def test_cut_in_the_middle(
    device, opened: Opened, run_model: Run, later: Later, wait: Wait, tmp_path: Path, caplog
) -> None:
    there = opened(device.address())
    answer = later(run_model, there, f"hold {tmp_path}/held")
    wait((tmp_path / "held").exists)
    old = device.processes()
    device.cut()
    assert answer()[0] == 1.0
    assert len(reasons(caplog)) == 1
    wait(lambda: not any(process.is_running() for process in old))  # though it was held up for long
    assert run_model(there, "good") == [1.0, 4.0]


def test_cut_between_requests(device, opened: Opened, run_model: Run, wait: Wait, caplog) -> None:
    there = opened(device.address())
    device.cut()
    wait(lambda: not device.processes())
    assert run_model(there, "good") == [1.0, 4.0]
    assert not caplog.records


def test_host_gone_and_another_key_when_it_comes_back(
    device, opened: Opened, run_model: Run, later: Later, wait: Wait, tmp_path: Path, caplog
) -> None:
    def said(reason: str) -> bool:
        return any(reason in record.getMessage() for record in caplog.records)

    there = opened(device.address())
    answer = later(run_model, there, f"hold {tmp_path}/held")
    wait((tmp_path / "held").exists)
    device.stop()
    wait(lambda: said("Connection refused"))
    time.sleep(0.3)  # some more tries, of which nothing is said
    device.trust("other_key")
    device.start()
    wait(lambda: said("Host key verification failed"))
    device.trust("host_key")
    assert answer()[0] == 1.0
    first, *others = reasons(caplog)
    assert "closed" in first or "reset" in first.lower()
    assert len(others) == 2


def test_python_gone_when_it_comes_back(device, opened: Opened, run_model: Run, wait: Wait) -> None:
    python = Path(device.interpreter())
    there = opened(device.address(python=str(python)))
    python.unlink()
    device.cut()
    wait(lambda: not device.processes())
    with pytest.raises(UserError, match=f"^device.* has no {python}; install Python 3.8"):
        run_model(there, "good")


def test_the_program_ends_without_work_and_starts_again(
    device, opened: Opened, run_model: Run, wait: Wait, monkeypatch: pytest.MonkeyPatch, caplog
) -> None:
    monkeypatch.setattr(program, "_IDLE_S", 0.2)
    there = opened(device.address())
    wait(lambda: not device.processes())
    assert run_model(there, "good") == [1.0, 4.0]
    assert not caplog.records


def test_nothing_is_written_there(
    device, opened: Opened, brief: None, network: nn.Module, tmp_path: Path
) -> None:
    for name in ("home", "tmp", "here"):
        (tmp_path / name).mkdir()
    # ulimit: any byte written to a file is an error, as on a full disk
    python = device.interpreter(
        f"export HOME={tmp_path}/home TMPDIR={tmp_path}/tmp; cd {tmp_path}/here; ulimit -f 0"
    )
    there = Session(OnnxRuntime(), Address.parse(device.address(python=python)))
    try:
        model = convert(there.target, network, 32)
        (latency,) = there.measure([model], budget_s=0.1)
        assert latency.median_ms > 0
        assert there.logits(model, np.zeros((1, 3, 32, 32), np.float32)).shape == (1, 3)
    finally:
        there.close()
    assert [path for name in ("home", "tmp", "here") for path in (tmp_path / name).rglob("*")] == []


def test_nothing_runs_on_after_closing(device, opened: Opened, run_model: Run, wait: Wait) -> None:
    there = opened(device.address())
    assert run_model(there, "good") == [1.0, 4.0]
    assert device.processes()
    there.close()
    wait(lambda: not device.processes())
    assert run_model(there, "good") == [1.0, 4.0]  # started again


def test_nothing_runs_on_after_the_death_of_the_client(
    device, opened: Opened, run_model: Run, wait: Wait, tmp_path: Path
) -> None:
    def client() -> None:
        run_model(opened(device.address()), f"hold {tmp_path}/held")

    process = multiprocessing.get_context("fork").Process(target=client)
    process.start()
    wait((tmp_path / "held").exists)
    process.kill()
    process.join()
    wait(lambda: not device.processes())


def test_a_model_that_crashes_does_not_harm_the_next(device, opened: Opened, run_model: Run) -> None:
    there = opened(device.address())
    with pytest.raises(ModelError, match=r"^its runtime crashed \(exit status 134\) out of luck$"):
        run_model(there, "abort")
    assert run_model(there, "print") == [1.0, 5.0]
    assert run_model(there, "good") == [1.0, 4.0]


def test_processes_take_turns_on_a_device(device, brief: None, tmp_path: Path) -> None:
    model = ConvertedModel({"model": f"log {tmp_path}/log".encode()}, (1, 3, 4, 4))
    address = Address.parse(device.address())

    def measure() -> None:
        there = Session(Scripted(), address)
        for _ in range(4):
            there.measure([model], most=20)
        there.close()

    context = multiprocessing.get_context("fork")
    clients = [context.Process(target=measure) for _ in range(2)]
    for client in clients:
        client.start()
    for client in clients:
        client.join(60)
        assert client.exitcode == 0
    runs = [line.split() for line in (tmp_path / "log").read_text().splitlines()]
    order = [agent for agent, _ in sorted(runs, key=lambda run: float(run[1]))]
    blocks = [agent for agent, before in zip(order, [None, *order], strict=False) if agent != before]
    assert len(set(order)) == 2
    assert len(blocks) <= 8  # one for each measurement, and none inside another


def test_a_lock_that_cannot_be_made(device, brief: None, own_cache: Path) -> None:
    (own_cache / "devices").write_text("")
    there = Session(Scripted(), Address.parse(device.address()))
    try:
        with pytest.raises(UserError, match="devices"):
            there.measure([ConvertedModel({"model": b"good"}, (1, 3, 4, 4))])
    finally:
        there.close()
