"""The study on disk: readable by Optuna, whole after a kill, and restored exactly."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import optuna
import pytest

import nas.spaces
import nas.strategies
from nas.cost import cost
from nas.errors import UserError
from nas.executors import ProcessExecutor, SerialExecutor
from nas.objectives import Objectives
from nas.search import EvaluationError, search
from nas.store import Store, locked, open_storage
from nas.trial import Proposal

ROOT = Path(__file__).parents[2]
SPACE = nas.spaces.load("macro")()
GOALS = Objectives.parse(["f1:max", "macs:min"])
STRATEGIES = nas.strategies.REGISTRY.names()


def evaluate(proposal: Proposal) -> dict[str, float]:
    total = cost(proposal.architecture, 10)
    return {"f1": sum(proposal.choices) / 16, "params": total.params, "macs": total.macs}


def store_in(folder: Path, url: str | None = None, **identity: str) -> Store:
    storage = open_storage(folder / "study.journal", url)
    return Store(storage, "study", SPACE, GOALS, identity or {"space": "macro"})


def run(folder: Path, trials: int, name: str = "tpe", url: str | None = None) -> list[tuple[int, ...]]:
    store = store_in(folder, url)
    strategy = nas.strategies.load(name)(SPACE, GOALS, seed=5, num_classes=10)
    search(strategy, SerialExecutor(evaluate), store, trials=trials)
    return [trial.choices for trial in store.trials()]


def test_optuna_reads_the_journal(tmp_path: Path) -> None:
    run(tmp_path, 6)
    backend = optuna.storages.journal.JournalFileBackend(str(tmp_path / "study.journal"))
    study = optuna.load_study(study_name="study", storage=optuna.storages.JournalStorage(backend))
    assert study.metric_names == ["f1", "macs"]
    assert len(study.trials) == 6
    for trial in study.trials:
        choices = trial.user_attrs["choices"]
        assert trial.params == SPACE.options(choices)
        assert trial.values[0] == sum(choices) / 16


@pytest.mark.parametrize("url", [None, "sqlite"])
def test_a_resumed_study_proposes_the_same(tmp_path: Path, url: str | None) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    where = {name: url and f"sqlite:///{tmp_path / name}.db" for name in "ab"}
    run(tmp_path / "a", 7, url=where["a"])
    assert run(tmp_path / "a", 15, url=where["a"]) == run(tmp_path / "b", 15, url=where["b"])


def test_every_torn_last_line_is_repaired(tmp_path: Path) -> None:
    run(tmp_path, 4)
    journal = tmp_path / "study.journal"
    content = journal.read_bytes()
    start = content[:-1].rfind(b"\n") + 1
    for cut in range(start + 1, len(content), 7):
        journal.write_bytes(content[:cut])
        store = store_in(tmp_path)
        assert len(store.trials()) == 3
        assert [proposal.number for proposal in store.unfinished()] == [3]


def test_another_identity_is_refused(tmp_path: Path) -> None:
    run(tmp_path, 2)
    with pytest.raises(UserError, match="another space"):
        store_in(tmp_path, space="toy")


def test_a_damaged_journal_is_one_line(tmp_path: Path) -> None:
    run(tmp_path, 2)
    journal = tmp_path / "study.journal"
    lines = journal.read_bytes().split(b"\n")
    lines[1] = b"\x00 garbage"
    journal.write_bytes(b"\n".join(lines))
    with pytest.raises(UserError, match="damaged"):
        store_in(tmp_path).trials()


def test_the_lock_keeps_a_second_process_out(tmp_path: Path) -> None:
    code = (
        "from pathlib import Path; from nas.store import locked; from nas.errors import UserError\n"
        f"try:\n  with locked(Path({str(tmp_path)!r})): print('in')\n"
        "except UserError as error: print(error)"
    )
    ask = [sys.executable, "-c", code]
    with locked(tmp_path):
        out = subprocess.run(ask, cwd=ROOT, capture_output=True, text=True, check=True).stdout
        assert "in use by another process" in out
    assert subprocess.run(ask, cwd=ROOT, capture_output=True, text=True, check=True).stdout == "in\n"


@pytest.mark.parametrize("name", STRATEGIES)
def test_killed_at_any_moment_and_resumed(tmp_path: Path, name: str) -> None:
    """SIGKILL a searching process again and again; the study ends as if nothing had happened."""
    (tmp_path / "whole").mkdir()
    (tmp_path / "killed").mkdir()
    whole = run(tmp_path / "whole", 16, name)
    code = (
        "import importlib.util, sys, time; from pathlib import Path\n"
        f"spec = importlib.util.spec_from_file_location('suite', {str(Path(__file__))!r})\n"
        "suite = importlib.util.module_from_spec(spec); spec.loader.exec_module(suite)\n"
        "fast = suite.evaluate\n"
        "def slow(proposal):\n  print(proposal.number, flush=True); time.sleep(0.05)\n"
        "  return fast(proposal)\n"
        "suite.evaluate = slow\n"
        f"suite.run(Path({str(tmp_path / 'killed')!r}), 16, {name!r})"
    )
    for _ in range(3):
        child = subprocess.Popen(
            [sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True
        )
        assert child.stdout is not None
        for _ in range(4):
            child.stdout.readline()
        time.sleep(0.03)
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
        child.stdout.close()
    assert run(tmp_path / "killed", 16, name) == whole


def test_the_timeout_starts_nothing_new(tmp_path: Path) -> None:
    strategy = nas.strategies.load("random")(SPACE, GOALS, num_classes=10)
    ticks = iter(range(100))
    reason = search(
        strategy,
        SerialExecutor(evaluate),
        store_in(tmp_path),
        trials=50,
        timeout=5,
        clock=lambda: float(next(ticks)),
    )
    assert reason == "timeout"
    assert 0 < len(strategy.trials) < 10


def fails(proposal: Proposal) -> dict[str, float]:
    if proposal.number == 1:
        raise EvaluationError("no luck")
    return evaluate(proposal)


def test_an_evaluation_error_fails_one_trial(tmp_path: Path) -> None:
    strategy = nas.strategies.load("random")(SPACE, GOALS, num_classes=10)
    search(strategy, SerialExecutor(fails), store_in(tmp_path), trials=4)
    trials = store_in(tmp_path).trials()
    assert [trial.error for trial in trials] == [None, "no luck", None, None]


def test_a_bug_propagates(tmp_path: Path) -> None:
    def bug(proposal: Proposal) -> dict[str, float]:
        raise ZeroDivisionError("a bug")

    strategy = nas.strategies.load("random")(SPACE, GOALS, num_classes=10)
    with pytest.raises(ZeroDivisionError):
        search(strategy, SerialExecutor(bug), store_in(tmp_path), trials=4)
    assert len(store_in(tmp_path).unfinished()) == 1


WORKER = """
import os
from nas.search import EvaluationError

def evaluate(proposal):
    if proposal.number == 2:
        os._exit(3)
    if proposal.number == 4:
        raise EvaluationError("no luck")
    return {"f1": proposal.number / 10, "macs": int(os.environ["OMP_NUM_THREADS"])}

def factory():
    return evaluate
"""


def test_workers_run_trials_and_may_die(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "worker_for_test.py").write_text(WORKER)
    monkeypatch.syspath_prepend(str(tmp_path))
    from worker_for_test import factory  # type: ignore[import-not-found]

    strategy = nas.strategies.load("random")(SPACE, GOALS, num_classes=10)
    with ProcessExecutor(factory, 2) as executor:
        search(strategy, executor, store_in(tmp_path), trials=7)
    trials = store_in(tmp_path).trials()
    assert [trial.number for trial in trials if not trial.completed] == [2, 4]
    assert "exit code 3" in (trials[2].error or "")
    threads = max(1, (os.cpu_count() or 1) // 2)
    assert {trial.metrics["macs"] for trial in trials if trial.metrics} == {threads}
