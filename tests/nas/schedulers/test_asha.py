"""Successive halving: who goes on, what it costs, what may be deleted, and that a study can be resumed."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import pytest

import nas.spaces
import nas.strategies
from core.errors import UserError
from core.locks import locked
from nas.bench.simulation import MemoryStudy, VirtualExecutor
from nas.executors import SerialExecutor
from nas.objectives import Objectives
from nas.schedulers.asha import SuccessiveHalving, rungs
from nas.schedulers.confirmation import Confirmation
from nas.search import EvaluationError, run_study
from nas.storage import open_storage
from nas.strategies.random import RandomSearch
from nas.study import Store
from nas.trial import Proposal, Trial

NAMES = nas.strategies.REGISTRY.names()
SEVERAL = [("f1",), ("f1", "macs")]


def curve(proposal: Proposal) -> dict[str, float]:
    """Better networks and longer trainings score more; every eleventh trial fails."""
    if proposal.number % 11 == 7:
        raise EvaluationError("out of luck")
    quality = sum(proposal.choices) / 20 + random.Random(proposal.seed).gauss(0, 0.1)
    return {"f1": quality + (proposal.epochs or 0) / 10, "macs": float(sum(proposal.choices[::2]))}


def made(
    name: str = "random",
    *,
    epochs: int = 9,
    space: str = "macro",
    goals: Sequence[str] = ("f1",),
    limits: Sequence[str] = (),
) -> SuccessiveHalving:
    objectives = Objectives.parse(goals, limits)
    kind = nas.strategies.load(name)
    return SuccessiveHalving(
        kind(nas.spaces.load(space)(), objectives, seed=3, num_classes=10), epochs=epochs
    )


def run(
    asker: SuccessiveHalving | Confirmation,
    trials: int = 8,
    workers: int = 1,
    evaluate: Callable[[Proposal], dict[str, float]] = curve,
    listener=None,
) -> tuple[list[Trial], str]:
    """Trials in the order they ended, and why the study did."""
    study = MemoryStudy()
    executor = VirtualExecutor(evaluate, lambda p: float(p.epochs or 0) + p.seed % 5, workers)
    return study.finished, run_study(asker, executor, study, trials=trials, listener=listener)


def number(trial: Trial) -> int:
    return trial.number


def test_rungs_are_thirds_of_a_full_training() -> None:
    assert rungs(9) == (1, 3, 9)
    assert rungs(20) == (2, 6, 20)
    assert rungs(3) == (1, 3)
    assert rungs(8, eta=2) == (1, 2, 4, 8)
    with pytest.raises(
        UserError, match="cannot shorten a training of 2 epochs; train for 3 epochs or more"
    ):
        rungs(2)


def test_it_does_what_the_paper_says_step_by_step() -> None:
    """By hand: of the first three the best goes on, then of six, of eight; of three longer ones, too."""
    scores = [0.1, 0.2, 0.3, 0.4, 0.0, 0.0, 0.5, 0.6, 0.0, 0.4, 0.4, 0.7]
    trials, _ = run(made(), 3, evaluate=lambda p: {"f1": scores[p.number] if p.number < 12 else 0.0})
    asked = [(trial.proposal.epochs, trial.proposal.parent) for trial in trials[:12]]
    assert asked == [
        *((1, None), (1, None), (1, None), (3, 2)),
        *((1, None), (1, None), (1, None), (3, 6)),
        *((1, None), (1, None), (3, 9), (9, 7)),
    ]


@pytest.mark.parametrize("workers", [1, 4])
@pytest.mark.parametrize("goals", SEVERAL)
def test_what_goes_on_was_among_the_best_third_and_goes_on_once(
    workers: int, goals: tuple[str, ...]
) -> None:
    asker = made(goals=goals)
    told: list[Trial] = []

    class Watch:
        def trial_started(self, proposal: Proposal) -> None:
            if proposal.parent is None:
                assert proposal.epochs == 1
                return
            parent = next(trial for trial in told if trial.number == proposal.parent)
            rung = [t for t in told if t.completed and t.proposal.epochs == parent.proposal.epochs]
            better = [
                t for t in rung if asker.objectives.dominates(t.metrics or {}, parent.metrics or {})
            ]
            assert len(better) < len(rung) // 3
            assert proposal.epochs == 3 * (parent.proposal.epochs or 0)
            assert (proposal.choices, proposal.seed) == (parent.choices, parent.proposal.seed)

        def trial_finished(self, trial: Trial) -> None:
            told.append(trial)

    trials, reason = run(asker, 20, workers, listener=Watch())
    assert reason == "trials"
    assert sorted(map(number, trials)) == list(range(len(trials)))
    parents = [trial.proposal.parent for trial in trials if trial.proposal.parent is not None]
    assert len(parents) == len(set(parents))
    assert {trial.proposal.epochs for trial in trials} == {1, 3, 9}
    fresh = [trial.architecture.key for trial in trials if trial.proposal.parent is None]
    assert len(fresh) == len(set(fresh))


def test_trials_are_a_budget_of_full_trainings() -> None:
    asker = made()
    trials, _ = run(asker, 8)
    spent = sum((asker.share(trial.proposal) for trial in trials), start=Fraction(0))
    assert asker.begun == spent
    assert 8 <= spent < 8 + Fraction(6, 9)
    assert sum(trial.proposal.parent is None for trial in trials) > 20


@pytest.mark.parametrize("name", NAMES)
def test_a_resumed_study_goes_on_the_same_at_every_cut(name: str) -> None:
    whole, _ = run(made(name), 4)
    for cut in range(len(whole)):
        resumed, taken_up = made(name), made(name)
        for trial in whole[:cut]:
            resumed.tell(trial)
            taken_up.tell(trial)
        assert resumed.ask() == whole[cut].proposal, cut
        taken_up.resume(whole[cut].proposal)  # was under way
        taken_up.tell(whole[cut])
        if cut + 1 < len(whole):
            assert taken_up.ask() == whole[cut + 1].proposal, cut


@pytest.mark.parametrize("workers", [1, 4])
@pytest.mark.parametrize("goals", SEVERAL)
@pytest.mark.parametrize("limits", [(), ("f1>=1",)])
def test_what_is_continued_was_kept_all_the_time(
    workers: int, goals: tuple[str, ...], limits: tuple[str, ...]
) -> None:
    asker = made(goals=goals, limits=limits)
    files: set[int] = set()  # as the run directory has them
    kept = []

    class Tidies:
        def trial_started(self, proposal: Proposal) -> None:
            assert proposal.parent is None or proposal.parent in files
            files.add(proposal.number)

        def trial_finished(self, trial: Trial) -> None:
            files.intersection_update(asker.continuable(20))
            kept.append(len(files))

    trials, _ = run(asker, 20, workers, listener=Tidies())
    for trial in trials:
        assert trial.completed or trial.number not in files
        assert trial.proposal.epochs != 9 or trial.number not in files
    if goals == ("f1",):
        assert max(kept) < len(trials) / 2, "little is kept"
        assert len(files) <= 4


def test_an_extended_study_has_less_to_delete() -> None:
    asker = made()
    run(asker, 4)
    assert asker.continuable(4) < asker.continuable(40)


def test_a_continuation_that_fails_is_not_tried_again() -> None:
    def breaks(proposal: Proposal) -> dict[str, float]:
        if proposal.parent is not None:
            raise EvaluationError("out of memory")
        return curve(proposal)

    trials, _ = run(made(), 6, evaluate=breaks)
    parents = [trial.proposal.parent for trial in trials if trial.proposal.parent is not None]
    assert len(parents) == len(set(parents)) > 3
    assert {trial.proposal.epochs for trial in trials} == {1, 3}


def test_a_small_space_is_trained_to_the_end() -> None:
    """Of twelve networks at least four go on, and one to the top; early ones that are overtaken, too."""
    for workers in (1, 4):
        trials, reason = run(made(space="toy"), 20, workers, lambda p: {"f1": sum(p.choices) / 9})
        lengths = [trial.proposal.epochs for trial in trials]
        assert (lengths.count(1), reason) == (12, "exhausted")
        assert 4 <= lengths.count(3) <= 8 and 1 <= lengths.count(9) <= 3


def test_the_strategy_learns_from_the_shortest_rung() -> None:
    learned: list[Trial] = []

    class Learns(RandomSearch):
        def observe(self, trial: Trial) -> None:
            learned.append(trial)

    strategy = Learns(nas.spaces.load("macro")(), Objectives.parse(["f1"]), num_classes=10)
    trials, _ = run(Confirmation(SuccessiveHalving(strategy, epochs=9), trials=8, confirm=2, epochs=9))
    assert {trial.proposal.epochs for trial in learned} == {1}
    assert len(learned) == sum(t.proposal.epochs == 1 for t in trials)
    assert strategy.trials == trials


def test_networks_are_compared_by_their_longest_trainings_alone() -> None:
    """A lucky network that was not trained to the end is neither picked nor on the front."""
    goals = Objectives.parse(["f1", "train_seconds"])
    asker = made(space="toy")
    one, other = asker.ask(), asker.ask()
    lucky = one.complete({"f1": 0.9, "train_seconds": 1.0})
    first = other.complete({"f1": 0.5, "train_seconds": 1.0})
    last = asker.reserve(other, epochs=9, parent=other.number)
    trials = [lucky, first, last.complete({"f1": 0.8, "train_seconds": 9.0})]
    assert goals.front(trials[:2]) == [lucky]
    assert goals.front(trials) == [trials[2]]
    assert goals.best(trials) == trials[2]


@pytest.mark.parametrize("workers", [1, 4])
@pytest.mark.parametrize("goals", SEVERAL)
def test_confirmations_repeat_the_longest_trainings_from_scratch(
    workers: int, goals: tuple[str, ...]
) -> None:
    asker = Confirmation(made(goals=goals), trials=20, confirm=4, epochs=9)
    trials, reason = run(asker, 20, workers)
    repeats = [trial for trial in trials if trial.number in asker.repeats]
    assert (len(repeats), reason) == (4, "trials")
    assert min(asker.repeats) == len(trials) - 4
    finished = {t.architecture.key for t in trials if t.proposal.epochs == 9 and t.proposal.parent}
    assert {trial.architecture.key for trial in repeats} <= finished
    assert {(t.proposal.epochs, t.proposal.parent) for t in repeats} == {(9, None)}
    assert len({trial.proposal.seed for trial in repeats} & {t.proposal.seed for t in trials[:5]}) == 0


def test_a_trial_of_another_length_is_refused() -> None:
    asker = made()
    with pytest.raises(ValueError, match=r"trial 1 has 2 epochs, not of \(1, 3, 9\)"):
        asker.share(asker.reserve(asker.ask(), epochs=2))


def stored(folder: Path, name: str) -> tuple[Confirmation, Store]:
    asker = made(name)
    space = nas.spaces.load("macro")()
    store = Store(open_storage(folder / "study.journal", None), "study", space, asker.objectives, {})
    return Confirmation(asker, trials=6, confirm=2, epochs=9), store


def run_stored(folder: Path, name: str, evaluate=curve) -> list[Trial]:
    with locked(folder):
        asker, store = stored(folder, name)
        run_study(asker, SerialExecutor(evaluate), store, trials=6)
        return store.trials()


@pytest.mark.parametrize("name", ["tpe", pytest.param("evolution", marks=pytest.mark.slow)])
def test_killed_at_any_moment_and_resumed(tmp_path: Path, name: str, kill_search) -> None:
    """SIGKILL a searching process again and again; the study ends as if nothing had happened."""
    for folder in ("whole", "killed"):
        (tmp_path / folder).mkdir()
    whole = run_stored(tmp_path / "whole", name)
    moments = random.Random(name)
    for _ in range(3):
        kill_search(f"run_stored(Path({str(tmp_path / 'killed')!r}), {name!r}, slow)", "curve", moments)
    _, store = stored(tmp_path / "killed", name)
    assert 0 < len(store.trials()) < len(whole)
    assert run_stored(tmp_path / "killed", name) == whole
