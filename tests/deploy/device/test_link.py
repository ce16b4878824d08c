"""Requests to the program on this machine: crashes, interruptions, answers that are none."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from core.errors import UserError
from deploy.device import agent, program
from deploy.device.address import Address
from deploy.device.link import Link, ModelError


@pytest.fixture
def here(opened: Callable[..., Link]) -> Link:
    return opened(Address())


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        ("abort", r"its runtime crashed \(exit status -6\) out of luck"),
        ("exit", r"its runtime crashed \(exit status 0\)"),
        ("raise", "ValueError: no such operator"),
    ],
)
def test_a_model_that_fails_does_not_harm_the_next(
    here: Link, run_model: Callable[..., list[float]], command: str, reason: str
) -> None:
    with pytest.raises(ModelError, match=f"^{reason}$"):
        run_model(here, command)
    assert run_model(here, "good") == [1.0, 4.0]


def test_what_a_runtime_prints_is_no_answer(here: Link, run_model: Callable[..., list[float]]) -> None:
    assert run_model(here, "print") == [1.0, 5.0]
    assert run_model(here, "good") == [1.0, 4.0]


def test_the_answer_to_an_interrupted_request_is_not_the_next_ones(
    here: Link, run_model: Callable[..., list[float]], wait: Callable[..., None], tmp_path: Path
) -> None:
    def interrupt() -> None:
        wait((tmp_path / "held").exists)
        os.kill(os.getpid(), signal.SIGINT)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's job may ignore it
    thread = threading.Thread(target=interrupt)
    thread.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            run_model(here, f"hold {tmp_path}/held")
    finally:
        thread.join()
        signal.signal(signal.SIGINT, before)
    assert run_model(here, "good") == [1.0, 4.0]


def test_closing_ends_a_request_under_way(
    here: Link,
    run_model: Callable[..., list[float]],
    wait: Callable[..., None],
    later: Callable[..., Callable[[], object]],
    tmp_path: Path,
) -> None:
    answer = later(run_model, here, f"hold {tmp_path}/held")
    wait((tmp_path / "held").exists)
    here.close()
    assert answer() == [1.0, float(len(f"hold {tmp_path}/held"))]  # by a program started again


def test_an_answer_that_is_too_large_is_not_read(
    here: Link, run_model: Callable[..., list[float]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(program, "_LARGEST", 4)
    with pytest.raises(UserError, match="answer"):
        run_model(here, "good")


def test_a_model_that_hangs(
    here: Link, run_model: Callable[..., list[float]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(program, "_LONGEST_S", 8.0)
    monkeypatch.setattr(agent, "HANGING_S", 0.4)
    with pytest.raises(ModelError, match=r"its runtime gave no answer for 0\.4 s"):
        run_model(here, f"hold {tmp_path}/held")
    assert run_model(here, "good") == [1.0, 4.0]


def test_a_program_that_something_else_ends_gets_a_second_try(
    here: Link, run_model: Callable[..., list[float]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(program, "_LONGEST_S", 8.0)
    assert run_model(here, f"hold {tmp_path}/held")[0] == 1.0


def test_another_runtime_than_before(
    opened: Callable[..., Link], run_model: Callable[..., list[float]], tmp_path: Path
) -> None:
    (tmp_path / "version").write_text("scripted 1")
    runner = f"""
PACKAGE = "scripted-runtime"
def version(): return open({str(tmp_path / "version")!r}).read()
def open_model(files, threads): return lambda image: [[1.0]]
"""
    here = opened(Address(), runner.encode())
    (tmp_path / "version").write_text("scripted 2")
    here.close()
    for _ in range(2):
        with pytest.raises(UserError, match="this machine is another machine than before"):
            run_model(here, "good")
    (tmp_path / "version").write_text("scripted 1")
    assert run_model(here, "good") == [1.0]


@pytest.mark.parametrize(
    ("imports", "reason"),
    [
        (
            "import scripted_runtime.x",
            f"scripted_runtime is missing: {sys.executable} -m pip install scripted-runtime",
        ),
        ("raise ImportError('libx.so: no such file')", "ImportError: libx.so: no such file"),
    ],
)
def test_a_runtime_that_cannot_be_imported(
    opened: Callable[..., Link], imports: str, reason: str
) -> None:
    runner = f"PACKAGE = 'scripted-runtime'\ndef version():\n    {imports}\n"
    with pytest.raises(UserError) as failure:
        opened(Address(), runner.encode())
    assert str(failure.value) == f"this machine: {reason}"


def test_a_device_that_hangs_is_not_taken_for_one_that_is_lost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A lost connection is waited for, and the same request would hang again."""
    monkeypatch.setattr(Address, "command", lambda *_: ["sleep", "60"])
    monkeypatch.setattr(program, "_LONGEST_S", 0.2)
    hanging = program.Program(Address("board"))
    with pytest.raises(program.ProgramEndedError) as ended:
        hanging.begin()
    assert ended.value.status == -signal.SIGKILL and not ended.value.lost
