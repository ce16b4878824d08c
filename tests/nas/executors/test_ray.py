"""Trials on a real Ray cluster whose nodes join, vanish, freeze, are full, or have other versions."""

from __future__ import annotations

import os
import pickle
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
import pytest

import nas.executors
from core.errors import UserError
from nas.executors import Resources, ray_task
from nas.executors.executor_checks import ScriptedWork, SilentWatcher, collected, one, scripted
from nas.executors.ray_cluster import RayExecutor, at_address
from nas.search import evaluated
from nas.trial import Proposal

pytestmark = pytest.mark.system

HANGS = 4  # seed


class Marked(ScriptedWork):
    """Evaluations that leave the number of their process in a file, wait for another, and hold an array."""

    def __init__(self, folder: Path, size: int = 0) -> None:
        self.folder, self.array = folder, np.zeros(size, np.uint8)

    def distant(self):
        folder, array = self.folder, self.array

        def evaluate(proposal: Proposal, checkpoint: bytes | None):
            (folder / f"{proposal.number}-{time.time()}").write_text(str(os.getpid()))
            while not (folder / "go").exists():
                time.sleep(0.02)
            count = 0 if checkpoint is None else pickle.loads(checkpoint)
            mapped = not array.flags.owndata and not array.flags.writeable
            return {"f1": float(count), "mapped": float(mapped)}, pickle.dumps(count + 1)

        return lambda: evaluate

    def begun(self, number: int, times: int = 1) -> int:
        """Wait until a trial has begun so many times; return the process of the last."""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            files = sorted(self.folder.glob(f"{number}-*"))
            if len(files) >= times and (text := files[-1].read_text()):
                return int(text)
            time.sleep(0.02)
        raise AssertionError(f"trial {number} has not begun {times} times")

    def go(self) -> None:
        (self.folder / "go").touch()


class Continued(Marked):
    """Checkpoints by number of the parent."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.kept: dict[int | None, bytes] = {}
        self.go()

    def checkpoint(self, proposal: Proposal) -> bytes | None:
        return self.kept.get(proposal.parent)

    def keep(self, proposal: Proposal, checkpoint: bytes) -> None:
        self.kept[proposal.number] = checkpoint


@pytest.fixture
def opened(ray_cluster) -> Callable[..., RayExecutor]:
    """Executors of the cluster, closed after the test; ``opened(work, timeout=5)``."""
    executors = []
    ray_cluster.two_nodes()

    def open_one(work, watcher=None, **resources) -> RayExecutor:
        executors.append(RayExecutor(work, Resources(**resources), watcher or SilentWatcher()))
        return executors[-1]

    yield open_one
    for executor in executors:
        executor.close()


def test_a_worker_killed_in_training(opened, tmp_path: Path) -> None:
    work = Marked(tmp_path)
    executor = opened(work)
    executor.submit(scripted(0))
    os.kill(work.begun(0), signal.SIGKILL)
    lost = collected(executor)
    assert lost.execution is not None
    assert lost.error == f"the worker process died on {lost.execution.worker}"
    work.go()
    assert one(executor, 1).completed


def test_data_is_mapped_and_checkpoints_travel(opened, tmp_path: Path) -> None:
    work = Continued(tmp_path)
    work.array = np.ones(2**20, np.uint8)
    executor = opened(work)
    first = one(executor, 0)
    assert first.metrics == {"f1": 0.0, "mapped": 1.0}
    child = scripted(1)
    executor.submit(Proposal(1, child.choices, child.architecture, 0, parent=0))
    second = collected(executor)
    assert second.metrics == {"f1": 1.0, "mapped": 1.0}
    assert pickle.loads(work.kept[1]) == 2


@pytest.mark.slow
def test_a_removed_node_costs_no_trial(ray_cluster, opened, tmp_path: Path) -> None:
    work, watcher = Marked(tmp_path), SilentWatcher()
    executor = opened(work, watcher)
    assert executor.slots == 2
    victim = node_of_the_second(executor, work, watcher)
    ray_cluster.remove(victim)
    take_messages(executor, lambda: bool(watcher.warnings))
    work.go()
    trials = sorted((collected(executor) for _ in range(2)), key=lambda trial: trial.number)
    assert [trial.completed for trial in trials] == [True, True]
    assert len(list(tmp_path.glob("0-*"))) == 1
    assert len(list(tmp_path.glob("1-*"))) == 2
    assert watcher.warnings == [f"node {victim} is lost; trial 1 begins again"]
    assert executor.slots == 1


def take_messages(executor: RayExecutor, until: Callable[[], bool]) -> None:
    """Let the executor take the messages of tasks that do not end meanwhile."""
    deadline = time.monotonic() + 120
    while not until():
        assert time.monotonic() < deadline
        assert executor.step() is None


def node_of_the_second(executor: RayExecutor, work: Marked, watcher: SilentWatcher) -> str:
    """Begin the trials 0 and 1, and return the name of the node where 1 runs."""
    for number in (0, 1):
        executor.submit(scripted(number))
    for number in (0, 1):
        work.begun(number)
    take_messages(executor, lambda: not watcher.waiting)
    return next(name for name, trials in watcher.places.items() if 1 in trials)


@pytest.mark.slow
def test_a_node_that_joins_is_used(ray_cluster, opened, tmp_path: Path) -> None:
    work, watcher = Marked(tmp_path), SilentWatcher()
    executor = opened(work, watcher)
    for number in (0, 1):
        executor.submit(scripted(number))
    ray_cluster.add("three")
    try:
        assert executor.collect() is None
        assert executor.slots == 3
        assert watcher.notes[-1] == "node three has joined: room for 1 trials"
        executor.submit(scripted(2))
        work.begun(2)
        work.go()
        assert {collected(executor).number for _ in range(3)} == {0, 1, 2}
    finally:
        ray_cluster.remove("three")


@pytest.mark.slow
def test_a_node_with_another_version_is_left_out(ray_cluster, opened, tmp_path: Path) -> None:
    installed = tmp_path / "other/torch-0.0.1.dist-info"
    installed.mkdir(parents=True)
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: torch\nVersion: 0.0.1\n")
    work, watcher = Marked(tmp_path), SilentWatcher()
    work.go()
    ray_cluster.add("strange", cpus=3, env_vars={"PYTHONPATH": str(installed.parent)})
    try:
        executor = opened(work, watcher)
        assert executor.slots == 5
        trials = list(evaluated(executor, map(scripted, range(8))))
    finally:
        ray_cluster.remove("strange")
    own = ray_task.versions()
    assert {trial.number for trial in trials} == set(range(8))
    assert {trial.execution.worker for trial in trials if trial.execution} <= {"one", "two"}
    assert len(watcher.warnings) == 1
    assert watcher.warnings == [
        f"node strange has minnow {own['minnow']} and torch 0.0.1, and this machine "
        f"minnow {own['minnow']} and torch {own['torch']}: no trials run there"
    ]


def test_all_nodes_have_another_version(opened, tmp_path: Path) -> None:
    executor = opened(Marked(tmp_path))
    executor._versions = {**executor._versions, "minnow": "0.0.1 (source 12345678)"}
    executor.submit(scripted(0))
    words = r"no other node has room for trials: install the same versions"
    with pytest.raises(UserError, match=words):
        while True:
            executor.collect()
    assert not list(tmp_path.iterdir())


def test_no_cluster_at_an_address() -> None:
    with pytest.raises(UserError, match=r"no Ray cluster at 127\.0\.0\.1:1 "):
        at_address("127.0.0.1:1")(ScriptedWork(), Resources(), SilentWatcher())


def test_no_cluster_is_said_before_the_data_is_read() -> None:
    with pytest.raises(UserError, match=r"no Ray cluster at 127\.0\.0\.1:1 "):
        nas.executors.check("ray:127.0.0.1:1")
    nas.executors.check("ray")  # one would be started
    nas.executors.check("local")


@pytest.mark.slow
def test_no_node_is_large_enough(ray_cluster, opened, tmp_path: Path) -> None:
    work, watcher = Marked(tmp_path), SilentWatcher()
    work.go()
    executor = opened(work, watcher, cpus=8)
    assert watcher.warnings == ["no node has 8 CPUs: trials wait until one joins"]
    assert executor.slots == 1
    executor.submit(scripted(0))
    ray_cluster.add("large", cpus=8)
    try:
        assert collected(executor).execution.worker == "large"
    finally:
        ray_cluster.remove("large")


@pytest.mark.slow
def test_a_store_that_is_too_small_spills(opened, tmp_path: Path) -> None:
    """Data larger than the nodes' object stores are read from the disk of each."""
    work = Marked(tmp_path, 150 * 2**20)
    work.go()
    assert one(opened(work), 0).completed


@pytest.mark.slow
def test_a_node_that_is_cut_off(ray_cluster, opened, tmp_path: Path) -> None:
    """Its processes are frozen, so that it answers nothing, as behind a cut cable."""
    work, watcher = Marked(tmp_path), SilentWatcher()
    executor = opened(work, watcher)
    victim = node_of_the_second(executor, work, watcher)
    raylet = ray_cluster.nodes[victim].all_processes["raylet"][0].process.pid
    frozen = [psutil.Process(raylet), *psutil.Process(raylet).children(recursive=True)]
    for process in frozen:
        process.suspend()
    try:
        take_messages(executor, lambda: bool(watcher.warnings))
        assert watcher.warnings == [f"node {victim} is lost; trial 1 begins again"]
    finally:
        for process in frozen:
            process.resume()
    work.go()
    trials = [collected(executor) for _ in range(2)]
    assert all(trial.completed for trial in trials)
    ray_cluster.remove(victim)


@pytest.mark.slow
def test_a_node_without_memory(ray_cluster, opened, tmp_path: Path) -> None:
    """Ray ends the trial, which fails; others go on."""
    used = psutil.virtual_memory()
    threshold = (used.total - used.available + 2**30) / used.total
    settings = {"env_vars": {"RAY_memory_usage_threshold": f"{threshold:.3f}"}}
    ray_cluster.add("small", cpus=4, **settings)
    try:
        executor = opened(Hungry(tmp_path), cpus=4)
        full, fine = one(executor, 0, HANGS), one(executor, 1)
        assert "not enough memory on its node" in (full.error or "")
        assert "on small" in (full.error or "")
        assert fine.completed
    finally:
        ray_cluster.remove("small")


class Hungry(Marked):
    """Evaluations that take memory without end, where the seed says so."""

    def distant(self):
        def evaluate(proposal: Proposal, checkpoint: bytes | None):
            held = []
            while proposal.seed == HANGS:
                held.append(np.ones(2**24))
            return {"f1": 1.0}, None

        return lambda: evaluate


@pytest.mark.slow
def test_a_cluster_with_a_token(tmp_path: Path) -> None:
    """A machine that has the token uses it, and another is told of it in one line."""
    program = [sys.executable, "-m", "ray.scripts.scripts"]
    nowhere = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    homes = {name: {**nowhere, "HOME": str(tmp_path / name)} for name in ("member", "stranger")}
    subprocess.run([*program, "get-auth-token", "--generate"], env=homes["member"], check=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = [
        "--head",
        "--block",
        "--port",
        str(port),
        "--num-cpus",
        "1",
        "--include-dashboard",
        "false",
    ]
    place = tempfile.mkdtemp(prefix="ray-")  # a short path: it holds sockets
    head = subprocess.Popen(
        [*program, "start", *options, "--temp-dir", place],
        env=homes["member"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    code = f"import nas.executors as e\ntry: e.check('ray:127.0.0.1:{port}')\nexcept Exception as x: print(x)"

    def checked(home: str) -> subprocess.CompletedProcess[str]:
        environment = {**homes[home], "PYTHONPATH": os.getcwd()}
        return subprocess.run(
            [sys.executable, "-c", code], env=environment, capture_output=True, text=True
        )

    try:
        deadline = time.monotonic() + 120
        while (found := checked("member")).stdout and time.monotonic() < deadline:
            time.sleep(1)
        assert (found.returncode, found.stdout) == (0, ""), found.stderr
        refused = checked("stranger")
        assert "does not take this machine: if it wants a token, copy" in refused.stdout
        assert refused.stdout.count("\n") == 1
    finally:
        for process in [*psutil.Process(head.pid).children(recursive=True), head]:
            process.kill()
        head.wait(30)
        shutil.rmtree(place, ignore_errors=True)
