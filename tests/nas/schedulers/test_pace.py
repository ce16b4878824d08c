"""A search that a timeout ends: what of its time goes to confirmations."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

import nas.spaces
import nas.strategies
from nas.bench.simulation import MemoryStudy
from nas.objectives import Objectives
from nas.schedulers.asha import SuccessiveHalving
from nas.schedulers.confirmation import Confirmation, Pace
from nas.search import EvaluationError, run_study
from nas.trial import Proposal, Trial

GOALS = Objectives.parse(["f1"])


class Lab:
    """Trains so many at a time; the clock stands still but for trainings."""

    def __init__(self, seconds: Callable[[Proposal], float], slots: int = 1) -> None:
        self.slots, self.now = slots, 0.0
        self._seconds = seconds
        self._running: list[tuple[float, Proposal]] = []

    def submit(self, proposal: Proposal) -> None:
        self._running.append((self.now + self._seconds(proposal), proposal))

    def collect(self) -> Trial:
        self._running.sort(key=lambda each: each[0])
        self.now, proposal = self._running.pop(0)
        return proposal.complete(
            {"f1": sum(proposal.choices) / 20 + random.Random(proposal.seed).random() / 9}
        )


def run(
    timeout: float | None,
    *,
    trials: int = 20,
    confirm: int = 4,
    seconds: Callable[[Proposal], float] = lambda proposal: 10.0,
    slots: int = 1,
    known: list[Trial] | None = None,
) -> tuple[list[Trial], str]:
    lab = Lab(seconds, slots)
    strategy = nas.strategies.load("random")(nas.spaces.load("macro")(), GOALS, seed=3, num_classes=10)
    asker = Confirmation(strategy, trials=trials, confirm=confirm, pace=Pace(timeout, lambda: lab.now))
    study = MemoryStudy()
    for trial in known or []:
        study.begin(trial.proposal, {})
        study.finish(trial)
    reason = run_study(asker, lab, study, trials=trials, timeout=timeout, clock=lambda: lab.now)
    return study.trials(), reason


def repeats(trials: list[Trial]) -> list[int]:
    """Numbers of the trials whose networks were trained before."""
    seen: set[str] = set()
    found = []
    for trial in trials:
        if trial.architecture.key in seen:
            found.append(trial.number)
        seen.add(trial.architecture.key)
    return found


def test_a_fifth_of_the_time_is_kept_for_them() -> None:
    """Ten trainings of 10 s fit into 100 s, of the twenty wanted."""
    trials, reason = run(100)
    assert (len(trials), reason) == (10, "timeout")
    assert repeats(trials) == [8, 9]


@pytest.mark.parametrize("slots", [1, 2, 4])
@pytest.mark.parametrize("timeout", [50, 75, 120, 160])
def test_every_ended_search_has_confirmed(timeout: float, slots: int) -> None:
    """Uneven trainings, one to four at a time: the last quarter or so re-trains, never more than wanted."""
    trials, _ = run(timeout, trials=60, confirm=12, seconds=lambda p: 4.0 + p.seed % 9, slots=slots)
    again = repeats(trials)
    assert 1 <= len(again) <= 12
    assert len(again) <= 0.5 * len(trials)


def test_enough_time_changes_nothing() -> None:
    for timeout in (None, 1_000, 200.5):
        trials, reason = run(timeout)
        assert (len(trials), reason, repeats(trials)) == (20, "trials", [16, 17, 18, 19])


def test_few_wanted_confirmations_take_no_more_than_they_need() -> None:
    trials, _ = run(300, trials=1_000, confirm=2)
    assert repeats(trials) == [28, 29]


def test_a_larger_share_than_a_fifth_is_kept_where_it_was_asked_for() -> None:
    trials, _ = run(100, trials=20, confirm=10)
    assert repeats(trials) == [5, 6, 7, 8, 9]


def test_one_network_is_not_confirmed_instead_of_a_second_one() -> None:
    trials, _ = run(15)
    assert len(trials) == 2 and repeats(trials) == []


def test_no_confirmations_wanted_none_made() -> None:
    trials, reason = run(100, confirm=0)
    assert (len(trials), reason, repeats(trials)) == (10, "timeout", [])


def test_a_resumed_search_measures_anew_and_confirms_at_its_end() -> None:
    first, _ = run(100)
    trials, reason = run(None, known=first)
    assert (len(trials), reason) == (20, "trials")
    assert repeats(trials) == [8, 9, 16, 17, 18, 19]
    again, _ = run(60, known=first, trials=40)
    assert repeats(again)[2:] == [14, 15]


def test_what_is_short_counts_as_the_part_that_it_is() -> None:
    """A third of a full training in 10 s: a full one is expected to take 30 s."""
    now = 0.0
    pace = Pace(100, lambda: now)
    pace.start()
    pace.asked(0)
    now = 10.0
    pace.told(0, 1 / 3)
    assert not pace.ends_with(1, 5)
    now = 50.1  # 30 s more would end in the last 20 s
    assert pace.ends_with(1, 5)


def test_failed_trials_and_strangers_are_not_timed() -> None:
    now = 0.0
    pace = Pace(10, lambda: now)
    pace.start()
    pace.asked(0)
    now = 9.9
    pace.told(0, None)
    pace.told(7, 1.0)
    assert not pace.ends_with(5, 10), "nothing is known of the time a training takes"


def test_failing_trainings_end_with_the_timeout() -> None:
    def fails(proposal: Proposal) -> float:
        raise EvaluationError("out of luck")

    lab = Lab(fails)
    lab.submit = lambda proposal: lab._running.append((lab.now + 10, proposal))
    lab.collect = lambda: (setattr(lab, "now", lab.now + 10), lab._running.pop()[1].fail("no luck"))[1]
    strategy = nas.strategies.load("random")(nas.spaces.load("macro")(), GOALS, seed=3, num_classes=10)
    asker = Confirmation(strategy, trials=20, confirm=4, pace=Pace(100, lambda: lab.now))
    study = MemoryStudy()
    assert run_study(asker, lab, study, trials=20, timeout=100, clock=lambda: lab.now) == "timeout"
    assert len(study.trials()) == 10 and repeats(study.trials()) == []


def test_halving_confirms_full_trainings_before_the_time_is_over() -> None:
    def seconds(proposal: Proposal) -> float:
        return 1.0 * (proposal.epochs or 0) - (proposal.epochs or 0) // 3 * (proposal.parent is not None)

    lab = Lab(seconds)
    strategy = nas.strategies.load("random")(nas.spaces.load("macro")(), GOALS, seed=3, num_classes=10)
    halving = SuccessiveHalving(strategy, epochs=9)
    asker = Confirmation(halving, trials=20, confirm=4, epochs=9, pace=Pace(120, lambda: lab.now))
    study = MemoryStudy()
    assert run_study(asker, lab, study, trials=20, timeout=120, clock=lambda: lab.now) == "timeout"
    full = [trial for trial in study.trials() if trial.number in asker.repeats]
    assert full and all(trial.proposal.epochs == 9 and trial.proposal.parent is None for trial in full)
