"""Trials in this process and in workers, some of which die, break or are interrupted."""

from __future__ import annotations

import importlib
import multiprocessing
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

import nas.spaces
import nas.strategies
from core.errors import UserError
from core.followers import follow
from nas.executors import ProcessExecutor, SerialExecutor
from nas.objectives import Objectives
from nas.search import EvaluationError, run_study
from nas.storage import open_storage
from nas.study import Store
from nas.trial import Proposal, Trial

ROOT = Path(__file__).parents[3]
SPACE = nas.spaces.load("toy")()

WORKER = '''
import ctypes, os, time
from nas.search import EvaluationError

class Unlucky(EvaluationError):
    def __init__(self, metric, value):
        super().__init__(f"{metric} is {value}")

class Strange(Exception):
    """Can be pickled, but not unpickled."""
    def __init__(self, one, two):
        super().__init__("strange")

class Local(Exception):
    """Cannot be pickled."""
    def __init__(self):
        super().__init__("local")
        self.function = lambda: None

def deep_inside():
    raise ZeroDivisionError("a bug")

def evaluate(proposal):
    match proposal.seed:
        case 1: os._exit(3)
        case 2: raise EvaluationError("no luck")
        case 3: raise Unlucky("loss", "nan")
        case 4: deep_inside()
        case 5: raise Strange(1, 2)
        case 6: raise Local()
        case 7: time.sleep(60)
    return {"f1": proposal.number, "macs": int(os.environ["OMP_NUM_THREADS"]), "params": os.getpid()}

def factory():
    return evaluate

def broken_factory():
    raise ImportError("no such library")

def dies_at_the_start():
    os._exit(6)

def chatter(connection):
    connection.send("this is never read")
    connection.recv()

class Loading:
    """Like a library that takes long to load, and lets no other thread run meanwhile."""
    def __init__(self, folder):
        self.folder = folder
    def __setstate__(self, state):
        open(state["folder"] + "/begun", "w").close()
        ctypes.PyDLL(None).sleep(30)
        open(state["folder"] + "/survived", "w").close()

class DiesWhenItArrives:
    def __init__(self, marker):
        self.marker = marker
    def __setstate__(self, state):
        self.marker = state["marker"]
        if not os.path.exists(self.marker):
            open(self.marker, "w").close()
            time.sleep(0.1)
            os._exit(5)
    def __call__(self):
        return evaluate
'''


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModuleType]:
    """A module that workers can import; they skip the import of pytest's own main module."""
    folder = tmp_path_factory.mktemp("worker")
    (folder / "worker_for_test.py").write_text(WORKER)
    main = sys.modules["__main__"]
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        patch.setattr(main, "__spec__", None)
        patch.delattr(main, "__file__", raising=False)
        yield importlib.import_module("worker_for_test")
    sys.modules.pop("worker_for_test", None)


@pytest.fixture(scope="module")
def pool(worker: ModuleType) -> Iterator[ProcessExecutor]:
    """Two workers for the tests that leave them alive and idle."""
    with ProcessExecutor(worker.factory, 2) as executor:
        yield executor


def proposal(number: int, seed: int = 0) -> Proposal:
    point = list(SPACE.points())[number % 12]
    return Proposal(number, point, SPACE.decode(point), seed)


def one(executor: ProcessExecutor, number: int, seed: int = 0) -> Trial:
    executor.submit(proposal(number, seed))
    return executor.collect()


def gone(pid: int) -> bool:
    """Not even a zombie is left."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def children() -> set[int]:
    path = Path(f"/proc/self/task/{os.getpid()}/children")
    if not path.exists():
        pytest.skip("this kernel does not list the children of a process")
    return set(map(int, path.read_text().split()))


def test_serial() -> None:
    def evaluate(proposal: Proposal) -> dict[str, float]:
        if proposal.number == 1:
            raise EvaluationError("no luck")
        return {"f1": proposal.number}

    executor = SerialExecutor(evaluate)
    for number in range(2):
        executor.submit(proposal(number))
    assert executor.collect() == proposal(0).complete({"f1": 0})
    assert executor.collect() == proposal(1).fail("no luck")


def test_workers_return_results_and_end_with_the_executor(worker: ModuleType) -> None:
    before = dict(os.environ)
    with ProcessExecutor(worker.factory, 2) as executor:
        assert dict(os.environ) == before
        executor.submit(proposal(0))
        executor.submit(proposal(1))
        with pytest.raises(RuntimeError, match="every worker is busy"):
            executor.submit(proposal(2))
        trials = sorted((executor.collect() for _ in range(2)), key=lambda trial: trial.number)
        assert [trial.metrics and trial.metrics["f1"] for trial in trials] == [0.0, 1.0]
        threads = max(1, len(os.sched_getaffinity(0)) // 2)
        assert all(trial.metrics and trial.metrics["macs"] == threads for trial in trials)
        pids = {int(trial.metrics["params"]) for trial in trials if trial.metrics}
        assert len(pids) == 2
        assert os.getpid() not in pids
        executor.submit(proposal(0, seed=7))  # which takes a minute
    assert all(gone(pid) for pid in pids)


def test_workers_share_the_cores_that_this_process_may_use(worker: ModuleType) -> None:
    """Run on one of the cores, a single worker gets one thread."""
    cores = os.sched_getaffinity(0)
    if len(cores) < 2:
        pytest.skip("one core cannot be told from all cores")
    code = f"""
import os, sys
sys.path[:0] = [{str(ROOT)!r}, {str(Path(str(worker.__file__)).parent)!r}]
os.sched_setaffinity(0, {{{min(cores)}}})
from worker_for_test import factory
from nas.executors import ProcessExecutor
from nas.spaces.toy import Toy
from nas.trial import Proposal
with ProcessExecutor(factory, 1) as executor:
    executor.submit(Proposal(0, (0, 0, 0, 0), Toy().decode((0, 0, 0, 0)), 0))
    print(executor.collect().metrics["macs"])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert (done.stdout, done.stderr) == ("1.0\n", "")


def test_a_worker_that_dies_fails_its_trial_and_is_replaced(worker: ModuleType) -> None:
    before = children_named_trial()
    with ProcessExecutor(worker.factory, 1) as executor:
        first = one(executor, 0)
        died = one(executor, 1, seed=1)
        assert died == proposal(1, 1).fail("the worker process died (exit code 3)")
        second = one(executor, 2)
        assert first.metrics
        assert second.metrics
        assert first.metrics["params"] != second.metrics["params"]
        assert gone(int(first.metrics["params"]))
        executor.submit(proposal(3, seed=7))
        time.sleep(0.1)
        os.kill(int(second.metrics["params"]), signal.SIGKILL)  # in the middle of a trial
        assert executor.collect() == proposal(3, 7).fail("the worker process died (exit code -9)")
        third = one(executor, 4)
        assert third.metrics
        os.kill(int(third.metrics["params"]), signal.SIGKILL)  # while it is idle
        while not gone_or_zombie(int(third.metrics["params"])):
            time.sleep(0.01)
        fourth = one(executor, 5)
        assert fourth.completed or "exit code -9" in (fourth.error or "")
        assert one(executor, 6).completed
    assert children_named_trial() == before


def gone_or_zombie(pid: int) -> bool:
    try:
        return ") Z " in Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return True


def children_named_trial() -> list[int]:
    """Children of this process that run a worker."""
    found = []
    for pid in children():
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
        if b"spawn_main" in command or not command:
            found.append(pid)
    return found


def test_a_worker_that_dies_before_it_reads_its_proposal(worker: ModuleType, tmp_path: Path) -> None:
    with ProcessExecutor(worker.DiesWhenItArrives(str(tmp_path / "died")), 1) as executor:
        assert one(executor, 0).completed
        assert one(executor, 1).completed


def test_workers_that_always_die_at_the_start_end_the_search(worker: ModuleType, tmp_path: Path) -> None:
    with (
        ProcessExecutor(worker.dies_at_the_start, 1) as executor,
        pytest.raises(UserError, match=r"exit code 6.*enough memory for 1 worker"),
    ):
        one(executor, 0)


def test_a_system_that_starts_no_further_process(worker: ModuleType) -> None:
    """Too few open files are allowed, for some of the workers; those that run are ended."""
    known, limits = children(), resource.getrlimit(resource.RLIMIT_NOFILE)
    with ProcessExecutor(worker.factory, 1) as executor:  # what multiprocessing opens once is open
        one(executor, 0)
    highest = max(int(entry.name) for entry in Path("/proc/self/fd").iterdir())
    held = [os.open(os.devnull, os.O_RDONLY)]
    while held[-1] < highest:  # no free number is left below
        held.append(os.open(os.devnull, os.O_RDONLY))
    resource.setrlimit(resource.RLIMIT_NOFILE, (held[-1] + 8, limits[1]))
    try:
        with pytest.raises(UserError, match=r"cannot start \(Too many open files\).*of 99 workers"):
            ProcessExecutor(worker.factory, 99)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        for number in held:
            os.close(number)
    assert not {pid for pid in children() - known if b"spawn_main" in cmdline(pid)}


def test_workers_end_with_a_parent_that_is_killed(worker: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text(f"""
import sys
sys.path[:0] = [{str(ROOT)!r}, {str(Path(str(worker.__file__)).parent)!r}]
from worker_for_test import factory
from nas.executors import ProcessExecutor
from nas.spaces.toy import Toy
from nas.trial import Proposal

if __name__ == "__main__":
    with ProcessExecutor(factory, 1) as executor:
        point = (0, 0, 0, 0)
        executor.submit(Proposal(0, point, Toy().decode(point), 0))
        print(int(executor.collect().metrics["params"]), flush=True)
        executor.submit(Proposal(1, point, Toy().decode(point), 7))  # which takes a minute
        executor.collect()
""")
    command = [sys.executable, tmp_path / "main.py"]
    with (
        subprocess.Popen(command, stdout=subprocess.PIPE) as terminated,
        subprocess.Popen(command, stdout=subprocess.PIPE) as killed,
    ):
        for child, number in ((terminated, signal.SIGTERM), (killed, signal.SIGKILL)):
            assert child.stdout is not None
            pid = int(child.stdout.readline())
            child.send_signal(number)
            deadline = time.monotonic() + 10
            while not dead(pid) and time.monotonic() < deadline:
                time.sleep(0.05)
            assert dead(pid)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere it dies once the library is loaded")
def test_a_worker_that_is_starting_ends_with_its_parent(worker: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text(f"""
import sys
sys.path[:0] = [{str(ROOT)!r}, {str(Path(str(worker.__file__)).parent)!r}]
from worker_for_test import Loading
from nas.executors import ProcessExecutor
from nas.spaces.toy import Toy
from nas.trial import Proposal

if __name__ == "__main__":
    with ProcessExecutor(Loading({str(tmp_path)!r}), 1) as executor:
        point = (0, 0, 0, 0)
        executor.submit(Proposal(0, point, Toy().decode(point), 0))
        executor.collect()
""")
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen([sys.executable, tmp_path / "main.py"], **pipes) as parent:
        while not (tmp_path / "begun").exists():
            assert parent.poll() is None
            time.sleep(0.01)
        parent.kill()
        said = parent.communicate()  # until the worker has closed its ends of the pipes, too
    assert not (tmp_path / "survived").exists()
    assert said == (b"", b"")


def test_a_pipe_that_is_reset_ends_a_worker_in_silence(
    worker: ModuleType, capfd: pytest.CaptureFixture[str]
) -> None:
    """As when the parent is killed before it has read what the worker sent."""
    context = multiprocessing.get_context("spawn")
    connection, child_end = context.Pipe()
    process = context.Process(target=follow, args=(child_end,))
    process.start()
    child_end.close()
    connection.send(worker.chatter)
    assert connection.poll(None)
    connection.close()
    process.join()
    assert (process.exitcode, capfd.readouterr().err) == (0, "")


def dead(pid: int) -> bool:
    """Gone, or a zombie that nobody has waited for."""
    return gone(pid) or b") Z" in Path(f"/proc/{pid}/stat").read_bytes()


@pytest.mark.parametrize(("seed", "error"), [(2, "no luck"), (3, "loss is nan")])
def test_an_evaluation_error_fails_the_trial(pool: ProcessExecutor, seed: int, error: str) -> None:
    assert one(pool, 0, seed) == proposal(0, seed).fail(error)
    assert one(pool, 1).completed


def test_a_bug_propagates_with_the_place_where_it_happened(pool: ProcessExecutor) -> None:
    with pytest.raises(ZeroDivisionError, match="a bug") as error:
        one(pool, 0, seed=4)
    assert "in deep_inside" in "".join(error.value.__notes__)
    assert one(pool, 1).completed


def test_a_bug_in_the_factory_propagates(worker: ModuleType) -> None:
    with (
        ProcessExecutor(worker.broken_factory, 1) as executor,
        pytest.raises(ImportError, match="no such"),
    ):
        one(executor, 0)


@pytest.mark.parametrize(("seed", "name"), [(5, "Strange"), (6, "Local")])
def test_a_bug_that_cannot_travel_is_described(pool: ProcessExecutor, seed: int, name: str) -> None:
    with pytest.raises(RuntimeError, match=f"{name} in a worker process"):
        one(pool, 0, seed)
    assert one(pool, 1).completed


def test_a_study_with_workers(pool: ProcessExecutor, tmp_path: Path) -> None:
    goals = Objectives.parse(["f1"])
    store = Store(open_storage(tmp_path / "study.journal", None), "study", SPACE, goals, {})
    strategy = nas.strategies.load("tpe")(SPACE, goals, num_classes=10)
    assert run_study(strategy, pool, store, trials=50) == "exhausted"
    trials = store.trials()
    assert [trial.number for trial in trials] == list(range(12))
    assert len({trial.choices for trial in trials}) == 12
    assert all(trial.completed for trial in trials)


def test_workers_ignore_interrupts_from_their_first_moment_on(worker: ModuleType) -> None:
    before = signal.getsignal(signal.SIGINT)
    known = children()
    with ProcessExecutor(worker.factory, 2):
        assert signal.getsignal(signal.SIGINT) is before
        started: list[int] = []
        deadline = time.monotonic() + 10
        while len(started) < 2 and time.monotonic() < deadline:  # forked, but maybe not yet executing
            started = [pid for pid in children() - known if b"spawn_main" in cmdline(pid)]
            time.sleep(0.001)
        assert len(started) == 2
        for pid in started:
            masks = [
                int(line.split()[1], 16)
                for line in Path(f"/proc/{pid}/status").read_text().splitlines()
                if line.startswith(("SigIgn:", "SigBlk:"))
            ]
            assert any(mask & 1 << (signal.SIGINT - 1) for mask in masks)


def cmdline(pid: int) -> bytes:
    return Path(f"/proc/{pid}/cmdline").read_bytes()


@pytest.mark.parametrize("wait_for_result", [True, False])
def test_an_interrupt_prints_nothing_from_the_workers(tmp_path: Path, wait_for_result: bool) -> None:
    """Ctrl-C reaches the whole process group, also while workers are still starting."""
    (tmp_path / "worker_for_test.py").write_text(WORKER)
    (tmp_path / "main.py").write_text(f"""
import sys
sys.path[:0] = [{str(ROOT)!r}, {str(tmp_path)!r}]
import importlib.util
from worker_for_test import factory
from nas.executors import ProcessExecutor
import nas.spaces
from nas.trial import Proposal

if __name__ == "__main__":
    space = nas.spaces.load("toy")()
    try:
        with ProcessExecutor(factory, 2) as executor:
            if {wait_for_result}:
                executor.submit(Proposal(0, (0, 0, 0, 0), space.decode((0, 0, 0, 0)), 0))
                executor.collect()
            print("ready", flush=True)
            for number in (1, 2):
                executor.submit(Proposal(number, (0, 0, 0, 0), space.decode((0, 0, 0, 0)), 7))
            executor.collect()
    except KeyboardInterrupt:
        print("interrupted", flush=True)
""")
    child = subprocess.Popen(
        [sys.executable, str(tmp_path / "main.py")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a background job ignores it
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"
    os.killpg(child.pid, signal.SIGINT)
    out, err = child.communicate(timeout=60)
    assert (child.returncode, out, err) == (0, "interrupted\n", "")
