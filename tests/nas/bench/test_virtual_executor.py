"""Virtual workers end in the order of their durations, and the real loop runs on them."""

from __future__ import annotations

import pytest

from nas.bench.simulation import MemoryStudy, VirtualExecutor
from nas.objectives import Objectives
from nas.search import EvaluationError, run_study
from nas.spaces.toy import Toy
from nas.strategies.random import RandomSearch
from nas.trial import Proposal


def proposals(count: int) -> list[Proposal]:
    space = Toy()
    return [Proposal(i, p, space.decode(p), i) for i, p in enumerate(list(space.points())[:count])]


def test_the_shortest_ends_first_and_the_clock_follows() -> None:
    durations = [5.0, 1.0, 3.0]
    executor = VirtualExecutor(lambda p: {"f1": p.number}, lambda p: durations[p.number], 3)
    for proposal in proposals(3):
        executor.submit(proposal)
    assert [(executor.collect().number, executor.now) for _ in range(3)] == [(1, 1.0), (2, 3.0), (0, 5.0)]


def test_a_worker_that_is_free_again_starts_at_that_time() -> None:
    executor = VirtualExecutor(lambda p: {"f1": 0.0}, lambda p: 2.0)
    first, second = proposals(2)
    executor.submit(first)
    with pytest.raises(RuntimeError, match="busy"):
        executor.submit(second)
    executor.collect()
    executor.submit(second)
    executor.collect()
    assert executor.now == 4.0


def test_an_evaluation_error_is_a_failed_trial() -> None:
    def fails(proposal: Proposal) -> dict[str, float]:
        raise EvaluationError("out of luck")

    executor = VirtualExecutor(fails, lambda p: 1.0)
    executor.submit(proposals(1)[0])
    assert executor.collect().error == "out of luck"


@pytest.mark.parametrize("slots", [1, 4])
def test_the_search_loop_runs_on_it(slots: int) -> None:
    study = MemoryStudy()
    executor = VirtualExecutor(lambda p: {"f1": 0.5}, lambda p: 1.0 + p.number % 3, slots)
    strategy = RandomSearch(Toy(), Objectives.parse(["f1"]), num_classes=2)
    assert run_study(strategy, executor, study, trials=9) == "trials"
    assert [trial.number for trial in study.trials()] == list(range(9))
    assert study.unfinished() == []
    ended = [trial.number for trial in study.finished]
    assert (ended == sorted(ended)) == (slots == 1)
