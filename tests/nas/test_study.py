"""The study on disk: readable by Optuna, whole after any interruption, and restored exactly."""

from __future__ import annotations

import json
import math
import re
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import optuna
import pytest

import nas.spaces
import nas.strategies
from core.errors import UserError
from core.locks import locked
from nas.cost import cost
from nas.executors import SerialExecutor
from nas.objectives import Objectives
from nas.search import EvaluationError, run_study
from nas.storage import open_storage
from nas.study import Store
from nas.trial import Proposal

ROOT = Path(__file__).parents[2]
SPACE = nas.spaces.load("macro")()
GOALS = Objectives.parse(["f1:max", "macs:min"])


def evaluate(proposal: Proposal) -> dict[str, float]:
    """Cheap; every fourth trial fails, every sixth has no score."""
    total = cost(proposal.architecture, 10)
    if proposal.number % 4 == 3:
        raise EvaluationError("out of luck")
    f1 = math.nan if proposal.number % 6 == 4 else sum(proposal.choices) / 16
    return {"f1": f1, "params": total.params, "macs": total.macs}


def store_in(folder: Path, url: str | None = None, **identity: str) -> Store:
    storage = open_storage(folder / "study.journal", url)
    return Store(storage, "study", SPACE, GOALS, identity or {"space": "macro"})


def run(folder: Path, trials: int, name: str = "random", url: str | None = None) -> list[tuple[int, ...]]:
    """Search on, up to ``trials``; the choices of all trials."""
    store = store_in(folder, url)
    strategy = nas.strategies.load(name)(SPACE, GOALS, seed=5, num_classes=10)
    run_study(strategy, SerialExecutor(evaluate), store, trials=trials)
    found = store.trials()
    assert [trial.number for trial in found] == list(range(trials))
    return [trial.choices for trial in found]


def test_optuna_reads_the_journal(tmp_path: Path) -> None:
    run(tmp_path, 6)
    backend = optuna.storages.journal.JournalFileBackend(str(tmp_path / "study.journal"))
    study = optuna.load_study(study_name="study", storage=optuna.storages.JournalStorage(backend))
    check_optuna_sees(study)


def test_optuna_reads_the_database(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/study.db"
    run(tmp_path, 6, url=url)
    assert not (tmp_path / "study.journal").exists()
    check_optuna_sees(optuna.load_study(study_name="study", storage=url))


def check_optuna_sees(study: optuna.Study) -> None:
    assert study.metric_names == ["f1", "macs"]
    states = optuna.trial.TrialState
    assert [trial.state for trial in study.trials] == [
        states.COMPLETE, states.COMPLETE, states.COMPLETE, states.FAIL, states.FAIL, states.COMPLETE
    ]  # fmt: skip
    assert [d.name for d in study.directions] == ["MAXIMIZE", "MINIMIZE"]
    assert len(study.best_trials) >= 1
    for trial in study.trials:
        choices = trial.user_attrs["choices"]
        assert trial.params == SPACE.options(choices)
        total = cost(SPACE.decode(choices), 10)
        assert (trial.user_attrs["params"], trial.user_attrs["macs"]) == (total.params, total.macs)
        if trial.state == states.COMPLETE:
            assert trial.values == [sum(choices) / 16, total.macs]


def test_trials_come_back_as_they_were(tmp_path: Path) -> None:
    run(tmp_path, 6)
    trials = store_in(tmp_path).trials()
    assert [trial.error for trial in trials] == [None, None, None, "out of luck", "f1 is nan", None]
    for trial in trials:
        assert trial.architecture == SPACE.decode(trial.choices)
        if trial.completed:
            assert trial.metrics == evaluate(trial.proposal)
        assert trial.execution is not None
        assert trial.execution.worker == "this process"
        assert time.time() - 600 < trial.execution.started <= trial.execution.ended <= time.time()


@pytest.mark.parametrize("kind", ["journal", "sqlite"])
def test_a_resumed_study_proposes_the_same(tmp_path: Path, kind: str) -> None:
    def url(name: str) -> str | None:
        return f"sqlite:///{tmp_path / name}.db" if kind == "sqlite" else None

    for name in "ab":
        (tmp_path / name).mkdir()
    for trials in (1, 7, 8):
        run(tmp_path / "a", trials, "tpe", url("a"))
    assert run(tmp_path / "a", 14, "tpe", url("a")) == run(tmp_path / "b", 14, "tpe", url("b"))


def test_a_study_can_change_strategy(tmp_path: Path) -> None:
    first = run(tmp_path, 5, "random")
    second = run(tmp_path, 9, "nni-evolution")
    assert run(tmp_path, 12, "tpe")[:9] == second
    assert second[:5] == first


def test_any_beginning_of_the_journal_goes_on_to_the_same_study(tmp_path: Path) -> None:
    """A kill between any two operations loses at most the training in flight."""
    journal = tmp_path / "study.journal"
    whole = run(tmp_path, 8)
    lines = journal.read_bytes().splitlines(keepends=True)
    assert len(lines) > 20
    for cut in range(len(lines)):
        journal.write_bytes(b"".join(lines[:cut]))
        assert run(tmp_path, 8) == whole, f"after {cut} operations"


def test_every_torn_last_line_is_repaired(tmp_path: Path) -> None:
    run(tmp_path, 3)
    journal = tmp_path / "study.journal"
    content = journal.read_bytes()
    start = content[:-1].rfind(b"\n") + 1
    for cut in range(start + 1, len(content)):
        journal.write_bytes(content[:cut])
        store = store_in(tmp_path)
        assert len(store.trials()) == 2
        assert [proposal.number for proposal in store.unfinished()] == [2]


@pytest.mark.parametrize(
    "damage",
    [
        lambda line: b"\x00 garbage",
        lambda line: b"{}",
        lambda line: b"7",
        lambda line: b"null",
        lambda line: line[: len(line) // 2],
    ],
)
def test_a_damaged_journal_is_one_line(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    run(tmp_path, 2)
    journal = tmp_path / "study.journal"
    lines = journal.read_bytes().splitlines()
    for place in range(len(lines) - 1):
        damaged = [*lines[:place], damage(lines[place]), *lines[place + 1 :]]
        journal.write_bytes(b"\n".join(damaged) + b"\n")
        with pytest.raises(UserError) as error:
            store_in(tmp_path).trials()
        assert str(error.value).startswith(f"{journal} is damaged")
        assert "\n" not in str(error.value)


def test_a_last_line_that_is_no_line_is_cut_off(tmp_path: Path) -> None:
    whole = run(tmp_path, 3)
    journal = tmp_path / "study.journal"
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(lines[:-1]) + b"\x00" * 40 + b"\n")
    assert [proposal.number for proposal in store_in(tmp_path).unfinished()] == [2]
    assert run(tmp_path, 3) == whole


def test_a_trial_that_lost_its_metrics_is_said(tmp_path: Path) -> None:
    run(tmp_path, 1)
    journal = tmp_path / "study.journal"
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(line for line in lines if b'"metrics"' not in line))
    with pytest.raises(UserError, match="trial 0 of study 'study' has lost its metrics"):
        store_in(tmp_path).trials()


@pytest.mark.parametrize(
    ("stored", "error"), [(b"NaN", "f1 is nan"), (b"Infinity", "f1 is inf"), (b"-Infinity", "f1 is -inf")]
)
def test_a_trial_with_metrics_that_are_none_has_failed(tmp_path: Path, stored: bytes, error: str) -> None:
    run(tmp_path, 1)
    journal = tmp_path / "study.journal"
    content = re.sub(rb'("f1":)[-0-9.e]+', rb"\g<1>" + stored, journal.read_bytes())
    journal.write_bytes(content)
    (trial,) = store_in(tmp_path).trials()
    assert (trial.metrics, trial.error) == (None, error)


@pytest.mark.parametrize("stored", [b'"x"', b"null", b"[1]", b"1" + b"0" * 400])
def test_a_trial_whose_metrics_are_no_numbers_is_said(tmp_path: Path, stored: bytes) -> None:
    run(tmp_path, 1)
    journal = tmp_path / "study.journal"
    journal.write_bytes(re.sub(rb'("f1":)[-0-9.e]+', rb"\g<1>" + stored, journal.read_bytes()))
    with pytest.raises(UserError, match="trial 0 of study 'study' has lost its metrics"):
        store_in(tmp_path).trials()


def test_another_identity_is_refused_and_named(tmp_path: Path) -> None:
    store_in(tmp_path, space="macro", data="digits")
    run_twice = store_in(tmp_path, space="macro", data="digits")
    assert run_twice.trials() == []
    with pytest.raises(UserError) as error:
        store_in(tmp_path, space="macro", data="trashnet")
    assert 'another data: it has "digits", asked for "trashnet"' in str(error.value)
    with pytest.raises(UserError, match="another teacher: it has null"):
        store_in(tmp_path, space="macro", data="digits", teacher="lite0")


def test_trials_of_someone_else_are_left_alone(tmp_path: Path) -> None:
    """Trials that a person adds to the study by hand are not this program's."""
    run(tmp_path, 2)
    backend = optuna.storages.journal.JournalFileBackend(str(tmp_path / "study.journal"))
    study = optuna.load_study(study_name="study", storage=optuna.storages.JournalStorage(backend))
    study.ask()
    assert len(run(tmp_path, 4)) == 4


@pytest.mark.parametrize(
    "url", ["nonsense", "sqlite:////no/such/folder/study.db", "mysql://nobody@nowhere/x"]
)
def test_a_database_that_cannot_be_opened_is_one_line(tmp_path: Path, url: str) -> None:
    with pytest.raises(UserError) as error:
        open_storage(tmp_path / "study.journal", url)
    assert str(error.value).startswith(f"storage {url!r} cannot be opened: ")
    assert "\n" not in str(error.value)


def test_the_lock_keeps_a_second_process_out(tmp_path: Path) -> None:
    code = (
        "from pathlib import Path; from core.locks import locked; from core.errors import UserError\n"
        f"try:\n  with locked(Path({str(tmp_path)!r})): print('in')\n"
        "except UserError as error: print(error)"
    )

    def ask() -> str:
        command = [sys.executable, "-c", code]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout

    with locked(tmp_path):
        assert "in use by another process" in ask()
    assert ask() == "in\n"


def test_a_trial_costs_the_same_however_many_there_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bytes written, and journal entries read, by trials 10 to 19 and 190 to 199."""
    entries = 0
    real = optuna.storages.journal.JournalFileBackend.read_logs

    def counted(backend, log_number_from: int):
        nonlocal entries
        for entry in real(backend, log_number_from):
            entries += 1
            yield entry

    monkeypatch.setattr(optuna.storages.journal.JournalFileBackend, "read_logs", counted)
    store, journal = store_in(tmp_path), tmp_path / "study.journal"
    template = nas.strategies.load("random")(SPACE, GOALS, seed=5, num_classes=10).ask()
    costs = []
    for number in range(200):
        before = journal.stat().st_size, entries
        proposal = replace(template, number=number)
        store.begin(proposal, {"macs": 1.0})
        store.finish(proposal.complete({"f1": 0.5, "macs": 1.0}))
        costs.append((journal.stat().st_size - before[0], entries - before[1]))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["study.journal"]
    early, late = costs[10:20], costs[190:]
    assert sum(read for _, read in late) == sum(read for _, read in early)
    digits = 10 * 8  # numbers of three digits instead of two, in a few places of each entry
    assert sum(size for size, _ in late) - sum(size for size, _ in early) <= digits


def test_plain_optuna_and_a_search_write_at_the_same_time(tmp_path: Path) -> None:
    """As optuna-dashboard does: another process, with the lock that Optuna takes by default."""
    store, journal = store_in(tmp_path), tmp_path / "study.journal"
    code = (
        "import optuna\nfrom optuna.storages.journal import JournalFileBackend\n"
        f"storage = optuna.storages.JournalStorage(JournalFileBackend({str(journal)!r}))\n"
        "study = optuna.load_study(study_name='study', storage=storage)\nprint('open', flush=True)\n"
        "for note in range(100): study.set_user_attr(f'note {note}', 'x' * 2000)\n"
        "print(len(study.trials))"
    )
    other = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert other.stdout is not None and other.stdout.readline() == "open\n"
    template = nas.strategies.load("random")(SPACE, GOALS, seed=5, num_classes=10).ask()
    for number in range(40):
        proposal = replace(template, number=number)
        store.begin(proposal, {"macs": 1.0})
        store.finish(proposal.complete({"f1": 0.5, "macs": 1.0}))
    output, _ = other.communicate(timeout=60)
    assert other.returncode == 0 and int(output) <= 40
    for line in journal.read_bytes().splitlines():
        json.loads(line)
    again = store_in(tmp_path)
    assert len(again.trials()) == 40
    attributes = optuna.load_study(study_name="study", storage=open_storage(journal, None)).user_attrs
    assert sum(name.startswith("note ") for name in attributes) == 100


def test_the_lock_of_a_killed_process_does_not_stop_a_search_for_long(tmp_path: Path) -> None:
    store_in(tmp_path)
    journal = tmp_path / "study.journal"
    code = (
        "import os, signal\nfrom optuna.storages.journal import JournalFileSymlinkLock\n"
        f"JournalFileSymlinkLock({str(journal)!r}).acquire()\nos.kill(os.getpid(), signal.SIGKILL)"
    )
    killed = subprocess.run([sys.executable, "-c", code], check=False)
    assert killed.returncode == -9 and Path(f"{journal}.lock").is_symlink()
    start = time.monotonic()
    assert run(tmp_path, 2)
    assert time.monotonic() - start < 15
    assert not Path(f"{journal}.lock").is_symlink()


def test_what_is_stored_is_plain_json(tmp_path: Path) -> None:
    run(tmp_path, 2)
    for line in (tmp_path / "study.journal").read_text(encoding="utf-8").splitlines():
        json.loads(line)


@pytest.mark.parametrize("kind", ["journal", "sqlite"])
def test_of_two_writers_of_a_study_the_earlier_stops(tmp_path: Path, kind: str) -> None:
    """As on two machines, where no lock is seen: no number is written twice, and the study goes on."""
    url = f"sqlite:///{tmp_path}/study.db" if kind == "sqlite" else None
    earlier = store_in(tmp_path, url)
    asking = nas.strategies.load("random")(SPACE, GOALS, seed=5, num_classes=10)
    first = asking.ask()
    earlier.begin(first, {})
    later = store_in(tmp_path, url)
    with pytest.raises(UserError, match="another search has taken over study 'study'"):
        earlier.finish(first.fail("never stored"))
    with pytest.raises(UserError, match="another search has taken over study 'study'"):
        earlier.begin(asking.ask(), {})
    assert later.unfinished() == [first]
    later.finish(first.fail("out of luck"))
    assert [trial.error for trial in store_in(tmp_path, url).trials()] == ["out of luck"]


def test_a_study_that_holds_a_number_twice_is_refused(tmp_path: Path) -> None:
    store_in(tmp_path).begin(
        nas.strategies.load("random")(SPACE, GOALS, seed=5, num_classes=10).ask(), {}
    )
    journal = tmp_path / "study.journal"
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join([*lines, lines[-1]]))
    with pytest.raises(UserError, match="holds trial 0 twice"):
        store_in(tmp_path)


def test_a_new_study_is_not_one_that_is_there(tmp_path: Path) -> None:
    """Whatever it holds: another search may have begun it this moment."""
    store_in(tmp_path)
    storage = open_storage(tmp_path / "study.journal", None)
    with pytest.raises(UserError, match="another search just began study 'study'"):
        Store(storage, "study", SPACE, GOALS, {"space": "macro"}, new=True)
