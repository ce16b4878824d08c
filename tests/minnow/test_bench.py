"""``bench strategies``: a table on standard output, curves and a page in files."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

import pytest

from core.locks import locked_file
from core.runtime import cpu_count
from nas.spaces.toy import Toy


@pytest.fixture
def table(here):
    rows = {
        "".join(map(str, point)): {"test_acc": [80 + i, 81 + i], "params": 10 + i, "flops": 100 + i}
        for i, point in enumerate(Toy().points())
    }
    (here / "table.json").write_text(json.dumps(rows))
    return "bench strategies --table table.json --space toy"


def test_the_whole_of_it(here, minnow, table):
    said = minnow(
        f"{table} --strategy random --strategy tpe --trials 6 --runs 3 --confirm 2 --objective f1 "
        "--objective macs --strategy-option startup=2 --json out.json --html out.html"
    )
    assert said.code == 0, said.notices
    assert "random" in said.output and "tpe" in said.output and "±" in said.output
    assert "\x1b" not in said.output
    content = json.loads((here / "out.json").read_text())
    assert content["settings"]["confirm"] == 2
    assert [len(run["selected"]) for run in content["strategies"]["tpe"]] == [6, 6, 6]
    page = (here / "out.html").read_text()
    assert "regret of the selected network" in page and "src=" not in page.split("<body>")[0]


@pytest.mark.slow
def test_a_signal_ends_the_worker_processes_too(here, table, start):
    child = start(f"{table} --strategy random --trials 12 --runs 100000")
    listed = Path(f"/proc/{child.pid}/task/{child.pid}/children")
    wait_until(lambda: len(listed.read_text().split()) > cpu_count())  # and one that tracks them
    started = listed.read_text().split()
    os.kill(child.pid, signal.SIGTERM)
    wait_until(lambda: not any(running(pid) for pid in [str(child.pid), *started]))
    assert child.end().returncode == -signal.SIGTERM


def running(pid: str) -> bool:
    try:
        return ") Z" not in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False


def wait_until(happened) -> None:
    deadline = time.monotonic() + 30
    while not happened():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.05)


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ("--strategy ranom", "did you mean 'random'?"),
        ("--strategy random --objective macs", "first objective is accuracy:max or f1:max"),
        ("--strategy random --strategy-option startup=2", "none of random has it"),
        ("--strategy random --trials 5 --confirm 5", "5 confirmations in 5 trials leave none"),
    ],
)
def test_what_is_wrong_is_said(here, minnow, table, options, complaint):
    assert complaint in minnow(f"{table} {options}").complaint


def test_a_run_is_ranked_by_one_process_at_a_time(there, minnow):
    with locked_file(Path("runs/found/.ranking.jsonl.lock"), "busy"):
        complaint = minnow("bench ranking runs/found").complaint
    assert complaint == "runs/found is being ranked by another process; wait for it"
    assert "judges networks by training them" in minnow("bench ranking runs/found").complaint
    assert not Path("runs/found/.ranking.jsonl.lock").exists()
