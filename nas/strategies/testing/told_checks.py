"""Contract checks of told trials: resuming, foreign trials, failures, running trials, misuse."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from core.contracts import expect, expect_error
from core.errors import UserError
from nas.strategies.base import SpaceExhausted, Strategy
from nas.strategies.random import RandomSearch
from nas.strategies.testing.strategy_case import (
    SUITE,
    StrategyCase,
    case_of,
    choices_of,
    fails,
    made_up_metrics,
    outcome,
    run_trials,
)
from nas.trial import Proposal, Trial

_FOREIGN = case_of(RandomSearch, {})


def _check_resume(
    case: StrategyCase,
    space: str,
    limits: Sequence[str] = (),
    *,
    trials: int,
    ahead: int,
    goals: Sequence[str] = ("f1:max",),
) -> None:
    whole = run_trials(case.make(space, limits, goals=goals), trials)
    where = f"in '{space}' within {', '.join(limits) or 'no limits'} (seed 0)"
    for cut in range(trials):
        resumed = case.make(space, limits, goals=goals)
        for trial in whole[:cut]:
            resumed.tell(trial)
        further, expected = run_trials(resumed, min(ahead, trials - cut)), whole[cut : cut + ahead]
        got, wanted = choices_of(further), choices_of(expected)
        expect(got == wanted, f"{where}: resumed after {cut} trials it proposes {got}, not {wanted}")
        seeds = [trial.proposal.seed for trial in further]
        same = seeds == [trial.proposal.seed for trial in expected]
        expect(same, f"{where}: resumed after {cut} trials it trains with other seeds")


@SUITE.add("resume at every cut, to exhaustion")
def check_resume_small(case: StrategyCase) -> None:
    """Check that a new instance that is told the first trials continues as the original did."""
    _check_resume(case, "toy", trials=12, ahead=12)
    _check_resume(case, "toy", ["params<=4k"], trials=4, ahead=4)


@SUITE.add("resume at every cut, within limits")
def check_resume(case: StrategyCase) -> None:
    """Check the same over what a strategy learns."""
    _check_resume(case, "macro", ["macs<=45.5M"], trials=24, ahead=1)


@SUITE.add("resume at every cut, large space")
def check_resume_large(case: StrategyCase) -> None:
    """Check the same where points cannot be enumerated."""
    _check_resume(case, "mobilenet", ["params<=200k"], trials=14, ahead=1)


@SUITE.add("resume at every cut, several objectives")
def check_resume_several(case: StrategyCase) -> None:
    """Check the same for two goals, where the strategy takes them."""
    if case.make_for_two_goals() is not None:
        _check_resume(case, "macro", trials=15, ahead=2, goals=("f1:max", "macs:min"))


@SUITE.add("interrupted")
def check_interrupted(case: StrategyCase) -> None:
    """Check that an interrupted proposal is resumed as if nothing had happened."""
    first = case.make()
    told = run_trials(first, 6)
    waiting = first.ask()
    resumed = case.make()
    for trial in told:
        resumed.tell(trial)
    resumed.resume(waiting)
    for strategy in (first, resumed):
        strategy.tell(outcome(waiting))
    got, wanted = choices_of(run_trials(resumed, 3)), choices_of(run_trials(first, 3))
    expect(got == wanted, f"resumed after 6 trials (seed 0) it proposes {got}, not {wanted}")


@SUITE.add("foreign trials")
def check_foreign_trials(case: StrategyCase) -> None:
    """Check that another strategy's study is continued; its networks are not proposed again."""
    strategy = case.make(seed=9)
    began = run_trials(_FOREIGN.make(seed=1), 15)
    for trial in reversed(began):
        strategy.tell(trial)
    further = run_trials(strategy, 10)
    numbers = [trial.number for trial in further]
    expect(numbers == list(range(15, 25)), f"expected numbers 15 to 24 (seed 9), got {numbers}")
    keys = {trial.architecture.key for trial in [*began, *further]}
    expect(len(keys) == 25, "a network of the other strategy was proposed again (seed 9)")


@SUITE.add("foreign encodings")
def check_foreign_encodings(case: StrategyCase) -> None:
    """Check that a told point that is not canonical counts as the network it stands for."""
    strategy = case.make()
    point = (1, 0, 1, 0, 2, 1, 0, 2)
    canonical = strategy.space.canonical(point)
    foreign = Proposal(7, point, strategy.space.decode(point), seed=1)
    strategy.tell(foreign.complete({"f1": 0.5}))
    told = strategy.trials[0].choices
    expect(told == canonical, f"told {point}: expected it as {canonical}, got {told}")
    number = strategy.ask().number
    expect(number == 8, f"expected number 8 after a told 7, got {number}")


@SUITE.add("repeated networks")
def check_repeated_networks(case: StrategyCase) -> None:
    """Check that known networks may be trained again under new numbers."""
    strategy = case.make()
    told = run_trials(strategy, 12)
    for trial in told[:3]:
        again = replace(trial.proposal, number=trial.number + 12, seed=trial.proposal.seed + 1)
        strategy.resume(again)
        strategy.tell(again.complete({**made_up_metrics(again), "f1": 3.0}))
    further = run_trials(strategy, 6)
    numbers = [trial.number for trial in further]
    expect(numbers == list(range(15, 21)), f"expected numbers 15 to 20 (seed 0), got {numbers}")
    keys = {trial.architecture.key for trial in [*told, *further]}
    expect(len(keys) == 18, "a network was proposed again after it was trained twice (seed 0)")


@SUITE.add("failures")
def check_failures(case: StrategyCase) -> None:
    """Check that a failed or NaN trial stays failed, and that further proposals follow."""
    strategy = case.make()
    asked = run_trials(strategy, 21)
    for trial in strategy.trials:
        kept = trial.completed is not fails(trial.number)
        expect(
            kept,
            f"trial {trial.number} failed and got a score, or the other way round (seed 0)",
        )
    expect(choices_of(asked) == choices_of(strategy.trials), "trials are not kept as told (seed 0)")
    hopeless = case.make()
    run_trials(hopeless, 15, lambda proposal: proposal.fail("no luck"))
    best = hopeless.objectives.best(hopeless.trials)
    expect(best is None, f"every trial failed, and yet {best} is the best (seed 0)")


@SUITE.add("pending")
def check_pending(case: StrategyCase) -> None:
    """Check that running proposals are not proposed again, and that results may come in any order."""
    strategy = case.make("toy")
    asked = [strategy.ask() for _ in range(12)]
    expect(len({proposal.choices for proposal in asked}) == 12, "a network twice while pending (seed 0)")
    for proposal in reversed(asked):
        strategy.tell(outcome(proposal))
    numbers = sorted(trial.number for trial in strategy.trials)
    expect(numbers == list(range(12)), f"told 12 trials in reverse, holds {numbers} (seed 0)")
    expect_error(strategy.ask, "", SpaceExhausted)


@SUITE.add("workers")
def check_workers(case: StrategyCase) -> None:
    """Check that four workers that finish out of order give the same proposals every time."""
    first, second = (_with_workers(case.make("macro", ["macs<=45.5M"]), 24) for _ in range(2))
    expect(len({trial.choices for trial in first}) == 24, "four workers (seed 0): a network twice")
    same = choices_of(first) == choices_of(second)
    expect(same, "four workers: not the same proposals with the same seed (0)")


def _with_workers(strategy: Strategy, trials: int, workers: int = 4) -> list[Trial]:
    running: list[Proposal] = []
    for number in range(trials):
        running.append(strategy.ask())
        if len(running) == workers:
            strategy.tell(outcome(running.pop(number % workers)))
    for proposal in running:
        strategy.tell(outcome(proposal))
    return strategy.trials


@SUITE.add("seeds")
def check_seeds(case: StrategyCase) -> None:
    """Check that the seed alone decides the proposals."""
    first, again, other = (choices_of(run_trials(case.make(seed=seed), 12)) for seed in (3, 3, 4))
    expect(first == again, "seed 3 twice: not the same proposals")
    expect(first != other, "seeds 3 and 4: the same proposals")


@SUITE.add("misuse")
def check_misuse(case: StrategyCase) -> None:
    """Check that telling twice, other choices, known numbers and unknown options are errors."""
    strategy = case.make()
    proposal = strategy.ask()
    trial = proposal.complete(made_up_metrics(proposal))
    strategy.tell(trial)
    expect_error(lambda: strategy.tell(trial), "told before", ValueError)
    expect_error(lambda: strategy.resume(proposal), "already known", ValueError)
    other = strategy.ask()
    swapped = Proposal(other.number, proposal.choices, proposal.architecture, other.seed)
    told = swapped.complete(made_up_metrics(swapped))
    expect_error(lambda: strategy.tell(told), "other choices", ValueError)
    outside = Proposal(50, (9,) * 8, proposal.architecture, 0)
    expect_error(lambda: strategy.tell(outside.fail("")), "outside 0..2", ValueError)
    strategy.tell(outcome(other))
    expect(len(strategy.trials) == 2, f"two trials were told, it holds {len(strategy.trials)}")
    unknown = replace(case, options={**case.options, "no_such_option": 1})
    expect_error(unknown.make, "no_such_option", TypeError, UserError)
