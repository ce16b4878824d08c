"""The loop: what it starts, what it stores, how it ends, and how it goes on after a kill."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest

import nas.spaces
import nas.strategies
from core.locks import locked
from nas.cost import cost
from nas.executors import SerialExecutor
from nas.objectives import Objectives
from nas.search import EvaluationError, run_study
from nas.storage import open_storage
from nas.strategies import Strategy
from nas.study import Store
from nas.trial import Proposal, Trial

GOALS = Objectives.parse(["f1"])
STRATEGIES = nas.strategies.REGISTRY.names()


def evaluate(proposal: Proposal) -> dict[str, float]:
    if proposal.number % 5 == 4:
        raise EvaluationError("out of luck")
    return {"f1": sum(proposal.choices) / 16, "macs": cost(proposal.architecture, 10).macs}


def parts(folder: Path, name: str = "random", space: str = "macro") -> tuple[Strategy, Store]:
    made = nas.spaces.load(space)()
    store = Store(open_storage(folder / "study.journal", None), "study", made, GOALS, {"space": space})
    return nas.strategies.load(name)(made, GOALS, seed=5, num_classes=10), store


def run(
    folder: Path, trials: int, name: str, evaluate: Callable[[Proposal], dict[str, float]] = evaluate
) -> list[Trial]:
    with locked(folder):
        strategy, store = parts(folder, name)
        run_study(strategy, SerialExecutor(evaluate), store, trials=trials)
        return store.trials()


class Listener:
    def __init__(self) -> None:
        self.heard: list[tuple[str, int]] = []

    def trial_started(self, proposal: Proposal) -> None:
        self.heard.append(("trial_started", proposal.number))

    def trial_finished(self, trial: Trial) -> None:
        self.heard.append(("trial_finished", trial.number))


def test_runs_up_to_the_number_of_trials(tmp_path: Path) -> None:
    listener = Listener()
    strategy, store = parts(tmp_path)
    assert run_study(strategy, SerialExecutor(evaluate), store, trials=3, listener=listener) == "trials"
    assert listener.heard == [(what, n) for n in range(3) for what in ("trial_started", "trial_finished")]
    assert len(store.trials()) == 3
    strategy, store = parts(tmp_path)
    assert run_study(strategy, SerialExecutor(evaluate), store, trials=2) == "trials"
    assert len(store.trials()) == 3, "nothing more to do"


def test_a_trial_is_stored_before_it_is_reported(tmp_path: Path) -> None:
    strategy, store = parts(tmp_path)

    class Checks(Listener):
        def trial_finished(self, trial: Trial) -> None:
            assert store.trials()[-1] == trial
            super().trial_finished(trial)

        def trial_started(self, proposal: Proposal) -> None:
            assert store.unfinished() == [proposal]
            super().trial_started(proposal)

    listener = Checks()
    run_study(strategy, SerialExecutor(evaluate), store, trials=6, listener=listener)
    assert len(listener.heard) == 12


def test_the_timeout_starts_nothing_new(tmp_path: Path) -> None:
    strategy, store = parts(tmp_path)
    ticks = iter(range(100))

    def clock() -> float:
        return float(next(ticks))

    reason = run_study(strategy, SerialExecutor(evaluate), store, trials=50, timeout=5, clock=clock)
    assert (reason, len(store.trials())) == ("timeout", 4)
    assert store.unfinished() == []


def test_a_study_that_is_complete_did_not_time_out(tmp_path: Path) -> None:
    strategy, store = parts(tmp_path)
    times = iter([0.0, 0.0, 99.0, 99.0, 99.0])
    reason = run_study(
        strategy, SerialExecutor(evaluate), store, trials=1, timeout=5, clock=lambda: next(times)
    )
    assert (reason, len(store.trials())) == ("trials", 1)


def test_an_exhausted_space_ends_the_study(tmp_path: Path) -> None:
    strategy, store = parts(tmp_path, space="toy")
    assert run_study(strategy, SerialExecutor(evaluate), store, trials=50) == "exhausted"
    assert len(store.trials()) == 12
    strategy, store = parts(tmp_path, space="toy")
    assert run_study(strategy, SerialExecutor(evaluate), store, trials=50) == "exhausted"


def test_an_evaluation_error_fails_one_trial(tmp_path: Path) -> None:
    trials = run(tmp_path, 7, "random")
    assert [trial.error for trial in trials] == [None] * 4 + ["out of luck"] + [None] * 2


def test_no_score_is_a_failed_trial(tmp_path: Path) -> None:
    outcomes = iter([{"f1": float("nan")}, {"accuracy": 1.0}, {"f1": float("-inf")}, {"f1": 0.5}])
    trials = run(tmp_path, 4, "random", lambda proposal: next(outcomes))
    assert [trial.error for trial in trials] == [
        "f1 is nan",
        "the evaluator returned no f1",
        "f1 is -inf",
        None,
    ]


@pytest.mark.parametrize("error", [ZeroDivisionError("a bug"), KeyboardInterrupt()])
def test_anything_else_propagates_and_the_trial_is_taken_up_again(
    tmp_path: Path, error: BaseException
) -> None:
    def breaks(proposal: Proposal) -> dict[str, float]:
        if proposal.number == 2:
            raise error
        return evaluate(proposal)

    with pytest.raises(type(error)):
        run(tmp_path, 6, "tpe", breaks)
    _, store = parts(tmp_path)
    assert [proposal.number for proposal in store.unfinished()] == [2]
    trials = run(tmp_path, 6, "tpe")
    (tmp_path / "whole").mkdir()
    assert [t.choices for t in trials] == [t.choices for t in run(tmp_path / "whole", 6, "tpe")]
    assert [t.proposal.seed for t in trials] == [
        t.proposal.seed for t in run(tmp_path / "whole", 6, "tpe")
    ]


@pytest.mark.parametrize(
    "name", [n if n in ("gp", "tpe") else pytest.param(n, marks=pytest.mark.slow) for n in STRATEGIES]
)
def test_killed_at_any_moment_and_resumed(tmp_path: Path, name: str, kill_search) -> None:
    """SIGKILL a searching process again and again; the study ends as if nothing had happened."""
    for folder in ("whole", "killed"):
        (tmp_path / folder).mkdir()
    whole = run(tmp_path / "whole", 18, name)
    moments = random.Random(name)
    in_flight = 0
    for _ in range(3):
        kill_search(f"run(Path({str(tmp_path / 'killed')!r}), 18, {name!r}, slow)", "evaluate", moments)
        _, store = parts(tmp_path / "killed", name)
        assert len(store.unfinished()) <= 1
        in_flight += len(store.unfinished())
    assert len(store.trials()) < 18
    assert in_flight > 0, "no kill came while a trial ran"
    resumed = run(tmp_path / "killed", 18, name)
    assert [t.choices for t in resumed] == [t.choices for t in whole]
    assert [t.error for t in resumed] == [t.error for t in whole]
    assert [t.proposal.seed for t in resumed] == [t.proposal.seed for t in whole]
