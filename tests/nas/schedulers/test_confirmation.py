"""Confirmation: when it begins, what it re-trains, and that a resumed study goes on the same."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

import nas.spaces
import nas.strategies
from core.errors import UserError
from nas.bench.simulation import MemoryStudy, VirtualExecutor
from nas.objectives import Objectives
from nas.schedulers.confirmation import Confirmation, most_informative
from nas.search import EvaluationError, run_study
from nas.strategies import SpaceExhausted
from nas.trial import Proposal, Trial, merged

NAMES = nas.strategies.REGISTRY.names()


def noisy(proposal: Proposal) -> dict[str, float]:
    if proposal.number % 7 == 4:
        raise EvaluationError("out of luck")
    noise = random.Random(proposal.seed).gauss(0, 0.05)
    return {"f1": sum(proposal.choices) / 20 + noise, "macs": float(sum(proposal.choices))}


def made(
    name: str = "random",
    *,
    trials: int = 14,
    confirm: int = 5,
    space: str = "macro",
    goals: Sequence[str] = ("f1",),
    limits: Sequence[str] = (),
) -> Confirmation:
    objectives = Objectives.parse(goals, limits)
    kind = nas.strategies.load(name)
    strategy = kind(nas.spaces.load(space)(), objectives, seed=3, num_classes=10)
    return Confirmation(strategy, trials=trials, confirm=confirm)


def run(
    asker: Confirmation, trials: int = 14, workers: int = 1, evaluate=noisy
) -> tuple[list[Trial], str]:
    study = MemoryStudy()
    executor = VirtualExecutor(evaluate, lambda p: 1.0 + p.seed % 5, workers)
    reason = run_study(asker, executor, study, trials=trials)
    return study.trials(), reason


@pytest.mark.parametrize("workers", [1, 4])
@pytest.mark.parametrize("goals", [("f1",), ("f1", "macs")])
def test_the_last_trials_repeat_known_networks_with_new_seeds(
    workers: int, goals: tuple[str, ...]
) -> None:
    asker = made(goals=goals)
    trials, reason = run(asker, workers=workers)
    assert (len(trials), reason) == (14, "trials")
    assert [trial.number for trial in trials] == list(range(14))
    new, repeats = trials[:9], trials[9:]
    assert len({trial.architecture.key for trial in new}) == 9
    assert {t.architecture.key for t in repeats} <= {t.architecture.key for t in new if t.completed}
    assert len({trial.proposal.seed for trial in trials}) == 14
    assert asker.repeats == set(range(9, 14))


@pytest.mark.parametrize("name", NAMES)
def test_a_resumed_study_goes_on_the_same_at_every_cut(name: str) -> None:
    whole, _ = run(made(name))
    for cut in range(14):
        resumed = made(name)
        for trial in whole[:cut]:
            resumed.tell(trial)
        asked = resumed.ask()
        assert (asked.choices, asked.seed) == (whole[cut].choices, whole[cut].proposal.seed), cut
        taken_up = made(name)
        for trial in whole[:cut]:
            taken_up.tell(trial)
        taken_up.resume(whole[cut].proposal)  # was under way
        taken_up.tell(whole[cut])
        if cut < 13:
            assert taken_up.ask().choices == whole[cut + 1].choices, cut


def test_only_networks_within_the_limits_are_confirmed() -> None:
    trials, _ = run(made(limits=["macs<=45.5M", "f1<=0.35"]))
    within = {t.architecture.key for t in trials[:9] if t.completed and (t.metrics or {})["f1"] <= 0.35}
    assert within and {trial.architecture.key for trial in trials[9:]} <= within


def test_nothing_to_confirm_goes_on_searching() -> None:
    def fails(proposal: Proposal) -> dict[str, float]:
        raise EvaluationError("no luck at all")

    trials, _ = run(made(), evaluate=fails)
    assert len({trial.architecture.key for trial in trials}) == 14


def test_an_exhausted_space_is_confirmed_early() -> None:
    """The toy space has twelve networks; of twenty trials, three confirm and the rest never happen."""
    asker = made(trials=20, confirm=3, space="toy")
    trials, reason = run(asker, trials=20)
    assert (len(trials), reason) == (15, "exhausted")
    assert len(asker.repeats) == 3
    with pytest.raises(SpaceExhausted):
        asker.ask()


def test_a_network_that_fails_again_and_again_does_not_take_every_confirmation() -> None:
    def breaks(proposal: Proposal) -> dict[str, float]:
        if proposal.number >= 9 and proposal.choices == best:
            raise EvaluationError("out of memory")
        return {"f1": sum(proposal.choices) / 20}

    best = max(run(made(confirm=0), 9, evaluate=noisy)[0], key=lambda t: sum(t.choices)).choices
    trials, _ = run(made(), evaluate=breaks)
    assert len({trial.choices for trial in trials[9:]}) > 1


@pytest.mark.parametrize("confirm", [14, 20])
def test_something_must_be_left_to_confirm(confirm: int) -> None:
    with pytest.raises(UserError, match=f"{confirm} confirmations in .* trials leave none"):
        made(confirm=confirm)


def test_training_goes_where_the_choice_is_open() -> None:
    """Two leaders apart by less than the noise, one sure, one not: the unsure one; the hopeless one never."""
    certain, unsure, hopeless = [0.81, 0.79, 0.80, 0.80], [0.82], [0.2]
    assert most_informative([certain, unsure, hopeless], [4, 1, 1]) == 1
    assert most_informative([[0.9, 0.91, 0.9], [0.3], [0.2]], [3, 1, 1]) != 2
    assert most_informative([certain, [0.82], [0.81]], [4, 4, 1]) == 2, "those under way count"


@pytest.mark.parametrize(
    "observed", [[[0.5]], [[0.5], [0.5]], [[0.5, 0.5], [0.5, 0.5]], [[0.5, 0.6], [0.5]]]
)
def test_equal_results_divide_by_nothing(observed: list[list[float]]) -> None:
    with np.errstate(all="raise"):
        assert most_informative(observed, [len(results) for results in observed]) in range(len(observed))


def test_confirmation_lowers_the_regret_of_the_pick() -> None:
    """Twenty close networks and as much noise: 12 re-trainings of the best beat the first look, over 300 studies."""
    rng = np.random.default_rng(0)
    first, confirmed = [], []
    for _ in range(300):
        true = np.sort(rng.normal(0, 1, 20))
        observed = [[value + rng.normal()] for value in true]
        first.append(true.max() - true[np.argmax([results[0] for results in observed])])
        for _ in range(12):
            index = most_informative(observed, [len(results) for results in observed])
            observed[index].append(true[index] + rng.normal())
        confirmed.append(true.max() - true[np.argmax([np.mean(results) for results in observed])])
    assert np.mean(confirmed) < 0.75 * np.mean(first)


def test_a_network_counts_with_the_mean_of_its_trainings() -> None:
    space, goals = nas.spaces.load("toy")(), Objectives.parse(["f1"], ["latency_ms<=2"])
    one, other = (space.decode(point) for point in list(space.points())[:2])

    def trial(number: int, architecture, f1: float, ms: float = 1.0, epochs: int | None = None) -> Trial:
        proposal = Proposal(number, (0, 0, 0, 0), architecture, number, epochs=epochs)
        return proposal.complete({"f1": f1, "latency_ms": ms})

    lucky = [trial(0, one, 0.9), trial(1, other, 0.8), trial(2, one, 0.6)]
    best = goals.best(lucky)
    assert best is not None and best.number == 1
    both = merged(lucky)
    assert [t.number for t in both] == [0, 1]
    assert (both[0].metrics or {})["f1"] == pytest.approx(0.75)
    assert goals.best(reversed([*lucky, trial(3, one, 0.99)])) == replace(
        lucky[0], metrics={"f1": pytest.approx(0.83), "latency_ms": 1.0}
    )
    assert goals.best([trial(0, one, 0.9, ms=2.5), trial(1, one, 0.9, ms=1.0)]) is not None
    assert [t.number for t in merged([trial(0, one, 0.5, epochs=1), trial(1, one, 0.7)])] == [0, 1]
    failed = trial(0, one, 0.5).proposal.fail("x")
    assert merged([failed]) == []
