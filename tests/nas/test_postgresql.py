"""A study in PostgreSQL: held by one search, and whole whatever happens to the connection or the server."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import optuna
import pytest

import nas.spaces
import nas.strategies
from core.errors import UserError
from nas import outage
from nas.cost import cost
from nas.executors import SerialExecutor
from nas.objectives import Objectives
from nas.search import EvaluationError, run_study
from nas.storage import Place, open_storage, open_to_read, opened_study
from nas.study import Store, open_study
from nas.trial import Proposal

psycopg = pytest.importorskip("psycopg")

pytestmark = pytest.mark.system

ROOT = Path(__file__).parents[2]
SPACE = nas.spaces.load("macro")()
GOALS = Objectives.parse(["f1:max", "macs:min"])
NOWHERE = Path("nowhere")  # no journal
TRIALS = 4

Choices = list[tuple[int, ...]]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tries to connect again follow one another at once."""
    monkeypatch.setattr(outage, "PAUSES_S", (0.02,))


def evaluate(proposal: Proposal) -> dict[str, float]:
    if proposal.number % 3 == 2:
        raise EvaluationError("out of luck")
    return {"f1": sum(proposal.choices) / 16, "macs": cost(proposal.architecture, 10).macs}


def search(
    url: str,
    trials: int = TRIALS,
    warn: Callable[[str], None] = lambda _: None,
    evaluate: Callable[[Proposal], dict[str, float]] = evaluate,
    losses: Losses | None = None,
    name: str = "study",
) -> Choices:
    """Search on, up to ``trials``; the choices of all trials."""
    place, new = Place(NOWHERE, url), losses is not None
    with opened_study(place, name) as storage, losses or contextlib.nullcontext():
        identity = {"space": "macro"}
        store = Store(storage, name, SPACE, GOALS, identity, place=place, warn=warn, new=new)
        strategy = nas.strategies.load("random")(SPACE, GOALS, seed=5, num_classes=10)
        run_study(strategy, SerialExecutor(evaluate), store, trials=trials)
    return check(url, trials, name)


def check(url: str, trials: int, name: str = "study") -> Choices:
    """The choices of all trials, which are complete, once each, here and as Optuna sees it."""
    stored = open_study(NOWHERE, url, name)
    assert stored.unfinished == []
    assert [trial.number for trial in stored.trials] == list(range(trials))
    assert [trial.error for trial in stored.trials if not trial.completed] == ["out of luck"] * (
        trials // 3
    )
    seen = optuna.load_study(study_name=name, storage=open_to_read(NOWHERE, url)).trials
    assert [trial.user_attrs["number"] for trial in seen] == list(range(trials))
    for trial in seen:
        if trial.state.name == "COMPLETE":
            assert trial.values[0] == sum(trial.user_attrs["choices"]) / 16
    return [trial.choices for trial in stored.trials]


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> Choices:
    """The choices of an undisturbed search."""
    return search(f"sqlite:///{tmp_path_factory.mktemp('expected')}/study.db")


def test_a_study_is_created_resumed_and_read(postgresql, expected: Choices) -> None:
    heard: list[str] = []
    for trials in (1, 3, TRIALS):
        choices = search(postgresql.url, trials, heard.append)
    assert choices == expected and heard == []
    named = postgresql.url.replace("postgresql:", "postgresql+psycopg:")
    assert search(named, TRIALS + 1)[:TRIALS] == expected
    study = optuna.load_study(study_name="study", storage=named)
    assert study.metric_names == ["f1", "macs"] and len(study.best_trials) >= 1
    assert postgresql.execute("SELECT pid FROM pg_locks WHERE locktype = 'advisory'") == []


def test_a_study_is_held_by_one_search(postgresql) -> None:
    place = Place(NOWHERE, postgresql.url)
    with opened_study(place, "study"):
        start = time.monotonic()
        with (
            pytest.raises(UserError, match=r"study 'study' in .* is in use by another process") as error,
            opened_study(place, "study"),
        ):
            raise AssertionError
        assert time.monotonic() - start < 10
        assert postgresql.password not in str(error.value)
        with opened_study(place, "another study"):
            pass
    with opened_study(place, "study"):
        pass


_DRIVER = """
import importlib.util, sys
spec = importlib.util.spec_from_file_location("suite", {suite!r})
suite = importlib.util.module_from_spec(spec); spec.loader.exec_module(suite)
def told(proposal):
    print("trial", proposal.number, flush=True)
    sys.stdin.readline()
    return suite.evaluate(proposal)
from core.errors import UserError
try:
    suite.search(sys.argv[1], evaluate=told)
except UserError as error:
    print(error)
"""


@pytest.fixture
def drive(request: pytest.FixtureRequest, postgresql, tmp_path: Path) -> Iterator[Callable]:
    """Start a search in a process of its own, as on another machine: no cache is shared.

    Each trial ends at the next line of standard input.
    """
    with contextlib.ExitStack() as stack:

        def start(name: str) -> subprocess.Popen[str]:
            command = [sys.executable, "-c", _DRIVER.format(suite=str(request.path)), postgresql.url]
            environment = {**os.environ, "MINNOW_CACHE": str(tmp_path / name)}
            pipes: Any = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
            process = subprocess.Popen(command, cwd=ROOT, text=True, env=environment, **pipes)
            stack.enter_context(process)
            stack.callback(process.kill)
            return process

        yield start


def test_of_two_drivers_the_second_is_refused_and_a_killed_one_is_replaced(
    postgresql, drive, expected: Choices
) -> None:
    first = drive("one")
    assert first.stdout.readline() == "trial 0\n"
    second = drive("two")
    assert "is in use by another process" in second.communicate()[0]
    for number in (1, 2):
        first.stdin.write("\n")
        first.stdin.flush()
        assert first.stdout.readline() == f"trial {number}\n"
    first.send_signal(signal.SIGKILL)
    first.wait()
    stored = open_study(NOWHERE, postgresql.url, "study")
    assert [trial.number for trial in stored.trials] == [0, 1]
    assert [proposal.number for proposal in stored.unfinished] == [2]
    trained: list[int] = []

    def note(proposal: Proposal) -> dict[str, float]:
        trained.append(proposal.number)
        return evaluate(proposal)

    assert search(postgresql.url, evaluate=note) == expected
    assert trained == [2, 3], "finished trials are not repeated"


class Losses:
    """Connections that break at commits.

    Args:
        lost: whether the connection breaks at a commit of this number, from 0.
        answer_only: whether the commit takes effect, and only the answer is lost.
    """

    def __init__(self, lost: Callable[[int], bool], answer_only: bool) -> None:
        self._lost, self._answer_only, self.commits = lost, answer_only, 0

    def __enter__(self) -> None:
        self._real = psycopg.Connection.commit
        psycopg.Connection.commit = lambda connection: self._commit(connection)

    def __exit__(self, *_: object) -> None:
        psycopg.Connection.commit = self._real

    def _commit(self, connection: Any) -> None:
        self.commits += 1
        lost = self._lost(self.commits - 1)
        if not lost or self._answer_only:
            self._real(connection)
        if lost:
            connection.close()
            raise psycopg.OperationalError("server closed the connection unexpectedly")


@pytest.mark.parametrize("answer_only", [False, True])
def test_connections_lost_again_and_again_lose_and_double_nothing(
    postgresql, expected: Choices, answer_only: bool
) -> None:
    heard: list[str] = []
    moments = random.Random(5)
    losses = Losses(lambda _: moments.random() < 0.1, answer_only)
    assert search(postgresql.url, 2 * TRIALS, heard.append, losses=losses)[:TRIALS] == expected
    away, back = heard[::2], heard[1::2]
    assert len(away) == len(back) > 5, "once each per outage"
    assert all("is away (server closed the connection unexpectedly); waiting" in line for line in away)
    assert all(" is back after " in line for line in back)


@pytest.mark.slow
@pytest.mark.parametrize("answer_only", [False, True])
def test_a_connection_lost_at_any_commit_loses_and_doubles_nothing(
    postgresql, expected: Choices, answer_only: bool
) -> None:
    losses = Losses(lambda _: False, answer_only)
    assert search(postgresql.url, losses=losses) == expected
    assert losses.commits > 20
    for number in range(losses.commits):
        heard: list[str] = []
        losses = Losses(number.__eq__, answer_only)
        name = f"study {number}"
        assert search(postgresql.url, warn=heard.append, losses=losses, name=name) == expected, name
        assert len(heard) == 2


def test_the_server_is_killed_and_comes_back(postgresql, expected: Choices) -> None:
    heard: list[str] = []

    def warn(message: str) -> None:
        heard.append(message)
        if "is away" in message:
            postgresql.start()

    def kill(proposal: Proposal) -> dict[str, float]:
        postgresql.kill(signal.SIGINT if proposal.number == 1 else signal.SIGKILL)
        return evaluate(proposal)

    assert search(postgresql.url, warn=warn, evaluate=kill) == expected
    assert ["is away" in message for message in heard] == [True, False] * TRIALS
    assert all(" is back after " in message for message in heard[1::2])
    assert postgresql.password not in " ".join(heard)


@pytest.mark.slow
def test_a_server_that_stays_away_is_one_line_and_the_study_goes_on_later(
    postgresql, expected: Choices, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outage, "PATIENCE_S", 0.3)
    place, heard = Place(NOWHERE, postgresql.url), []
    with opened_study(place, "study") as storage:
        identity = {"space": "macro"}
        store = Store(storage, "study", SPACE, GOALS, identity, place=place, warn=heard.append)
        strategy = nas.strategies.load("random")(SPACE, GOALS, seed=5, num_classes=10)
        run_study(strategy, SerialExecutor(evaluate), store, trials=2)
        proposal = strategy.ask()
        store.begin(proposal, {})
        postgresql.kill()
        with pytest.raises(UserError, match=r"stayed away for .* resume the search") as error:
            store.finish(proposal.fail("out of luck"))
        start = time.monotonic()
        with pytest.raises(UserError, match="stayed away"):
            store.trials()
        assert time.monotonic() - start < 0.2, "it does not wait again"
        with pytest.raises(UserError, match="cannot be used"):
            store.discard()
    assert len(heard) == 1 and postgresql.password not in heard[0] + str(error.value)
    assert "\n" not in str(error.value)
    with pytest.raises(UserError, match=r"cannot be opened: connection .* failed") as error:
        search(postgresql.url)
    assert postgresql.password not in str(error.value) and "\n" not in str(error.value)
    postgresql.start()
    assert search(postgresql.url) == expected


@pytest.mark.slow
def test_a_search_whose_study_was_taken_in_an_outage_stops(postgresql) -> None:
    place, asking = Place(NOWHERE, postgresql.url), nas.strategies.load("random")
    strategy = asking(SPACE, GOALS, seed=5, num_classes=10)
    taken = f"another search has taken over study 'study' in {place}"
    for ended in (True, False):
        with contextlib.ExitStack() as stack:
            storage = stack.enter_context(opened_study(place, "study"))
            store = Store(storage, "study", SPACE, GOALS, {"space": "macro"}, place=place)
            postgresql.kill()
            postgresql.start()
            other = opened_study(place, "study")
            Store(other.__enter__(), "study", SPACE, GOALS, {"space": "macro"}, place=place)
            if ended:
                other.__exit__(None, None, None)
            else:
                stack.callback(other.__exit__, None, None, None)
            with pytest.raises(UserError) as error:
                store.begin(strategy.ask(), {})
            assert taken.replace(postgresql.password, "***") in str(error.value)


def test_a_lost_connection_that_the_server_still_serves_is_ended(postgresql, expected: Choices) -> None:
    """As when the network fails: the lock of the search must not stop the search itself."""
    heard: list[str] = []
    kept: list[int] = []

    def sockets() -> dict[str, int]:
        links = {number: Path(f"/proc/self/fd/{number}") for number in os.listdir("/proc/self/fd")}
        return {
            os.readlink(link): int(number)
            for number, link in links.items()
            if link.is_symlink() and os.readlink(link).startswith("socket:")
        }

    def cut(proposal: Proposal) -> dict[str, float]:
        for name, number in sockets().items():
            if name not in before:
                before.add(name)
                kept.append(os.dup(number))  # the server sees no end
                with open(os.devnull, "r+b") as nothing:
                    os.dup2(nothing.fileno(), number)
        return evaluate(proposal)

    before = set(sockets())
    try:
        assert search(postgresql.url, warn=heard.append, evaluate=cut) == expected
    finally:
        for number in kept:
            os.close(number)
    assert len(kept) == TRIALS
    assert ["is away" in message for message in heard] == [True, False] * TRIALS


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda url: url.replace("pass-phrase", "a-wrong-one"), "authentication failed"),
        (lambda url: url.replace("@/d", "@/no"), "does not exist"),
        (lambda url: url.replace("host=", "host=/nowhere"), "No such file or directory"),
        (lambda url: url.replace("host=", "hostess="), "hostess"),
    ],
    ids=["password", "database", "server", "option"],
)
def test_a_database_that_cannot_be_opened_is_one_line(postgresql, change, reason: str) -> None:
    url = change(postgresql.url)
    for open_it in (open_storage, open_to_read):
        with pytest.raises(UserError, match="cannot be opened") as error:
            open_it(NOWHERE, url)
        assert reason in str(error.value) and "\n" not in str(error.value)
        assert "pass-phrase" not in str(error.value) and "a-wrong-one" not in str(error.value)
    with pytest.raises(UserError, match="cannot be opened"), opened_study(Place(NOWHERE, url), "study"):
        raise AssertionError


def test_a_missing_driver_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    url = "postgresql://me:pass-phrase@db/x"
    for open_it in (open_storage, open_to_read):
        with pytest.raises(UserError) as error:
            open_it(NOWHERE, url)
        assert str(error.value) == (
            "storage 'postgresql://me:***@db/x' needs the package 'psycopg'; "
            "pip install 'minnow[postgresql]'"
        )
