"""Searches on a Ray cluster, by the command line and the API; the driver is killed, or stopped by Ctrl-C."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

import minnow
from core.errors import UserError
from minnow.run_directory import Run

ROOT = Path(__file__).parents[2]
SEARCH = "search --data digits --space toy --trials 8 --epochs 3 --executor ray"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MINNOW_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def command(line: str, folder: Path) -> subprocess.Popen[str]:
    """Start a command in a process group of its own."""
    return subprocess.Popen(
        [sys.executable, str(ROOT / "cli.py"), *line.split()],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )


def read_until(process: subprocess.Popen[str], words: str) -> str:
    said = []
    assert process.stdout is not None
    for line in process.stdout:
        said.append(line)
        if words in line:
            return line
    pytest.fail(f"{words!r} was never said, but\n{''.join(said)}")


def ray_processes() -> set[int]:
    """Processes of Ray on this machine."""
    found = set()
    for process in psutil.process_iter(["cmdline", "name"]):
        line = " ".join(process.info["cmdline"] or [process.info["name"] or ""])
        if "ray::" in line or "/ray/" in line:
            found.add(process.pid)
    return found


@pytest.mark.slow
def test_asha_on_nodes_that_share_no_disk(ray_cluster, here: Path) -> None:
    """The trials are those of this process: images and checkpoints travel, and latencies are of here."""
    for name in ("one", "two"):
        if name not in ray_cluster.nodes:
            elsewhere = here / f"cache of {name}"
            ray_cluster.add(name, env_vars={"MINNOW_CACHE": str(elsewhere)})
    settings = {"data": "digits", "space": "toy", "trials": 3, "epochs": 3, "fidelity": "asha"}
    alone = minnow.search(out="alone", **settings)
    spread = minnow.search(out="spread", executor="ray", workers=1, **settings)
    assert len(spread.trials) == len(alone.trials) > 3
    assert any(trial.proposal.parent is not None for trial in spread.trials)
    for one, other in zip(alone.trials, spread.trials, strict=True):
        assert one.proposal == other.proposal
        assert one.metrics is not None and other.metrics is not None
        assert other.metrics["f1"] == pytest.approx(one.metrics["f1"], abs=0.02)
        assert other.metrics["latency_ms"] > 0
        assert other.execution is not None and other.execution.worker in ("one", "two")
    assert not list(here.glob("cache of *"))
    again = Run(here / "spread").trials
    assert [trial.execution for trial in again] == [trial.execution for trial in spread.trials]


def test_scores_that_are_timed_stay_here(here: Path) -> None:
    with pytest.raises(UserError, match="timed where a trial is trained"):
        minnow.search(data="digits", space="toy", executor="ray", objectives=("score",))


@pytest.mark.slow
def test_a_killed_driver_resumes_on_a_fresh_cluster(ray_cluster, here: Path, monkeypatch) -> None:
    from ray.cluster_utils import Cluster

    ray_cluster.two_nodes()
    killed = command(f"{SEARCH} --out run", here)
    read_until(killed, "trial 2 ")
    os.killpg(killed.pid, signal.SIGKILL)
    killed.wait()
    before = {trial.number: trial.metrics for trial in Run(here / "run").trials}
    assert len(before) >= 3
    fresh = Cluster(initialize_head=True, head_node_args={"num_cpus": 2, "include_dashboard": False})
    monkeypatch.setenv("RAY_ADDRESS", fresh.address)
    try:
        resumed = command("search --resume --out run", here)
        said = resumed.communicate(timeout=300)[0]
    finally:
        fresh.shutdown()
    assert resumed.returncode == 0, said
    trials = Run(here / "run").trials
    assert [trial.number for trial in trials] == list(range(8))
    assert all(trial.completed for trial in trials)
    assert all(trials[number].metrics == metrics for number, metrics in before.items())


@pytest.mark.slow
def test_ctrl_c_leaves_nothing_running(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor does the end of a search, of which this machine's own cluster is a part."""
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    before = ray_processes()
    stopped = command(f"{SEARCH} --trials 40 --out run", here)
    read_until(stopped, "trial 1 ")
    os.killpg(stopped.pid, signal.SIGINT)
    said = stopped.communicate(timeout=60)[0]
    assert stopped.returncode == 130, said
    assert "search --resume" in said
    assert "Traceback" not in said
    deadline = time.monotonic() + 30
    while ray_processes() - before and time.monotonic() < deadline:
        time.sleep(0.2)
    assert not ray_processes() - before


@pytest.mark.slow
def test_students_of_several_seeds(ray_cluster, here: Path) -> None:
    """They are those of this process, whose latencies are measured here, once."""
    ray_cluster.two_nodes()
    model = here / "model.yaml"
    model.write_text(
        minnow.search(
            data="digits", space="toy", trials=1, epochs=1, out="found"
        ).best.architecture.to_text()
    )
    settings = {"data": "digits", "epochs": 1, "seeds": 3}
    alone = minnow.train(model, out="alone", **settings)
    spread = minnow.train(model, out="spread", executor="ray", **settings)
    assert spread.metrics["seed"] == alone.metrics["seed"]
    assert spread.metrics["val"]["f1"] == pytest.approx(alone.metrics["val"]["f1"], abs=0.02)
    assert spread.metrics["latency_ms"]["median"] > 0
    assert len([path for path in (here / "spread/seeds").iterdir() if not path.name.startswith(".")]) == 2
