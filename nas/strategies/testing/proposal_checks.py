"""Contract checks of proposals: new networks within the limits, until none is left."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, partial

import nas.spaces
from core.contracts import expect, expect_error
from core.errors import UserError
from nas.architecture import Architecture
from nas.cost import cost
from nas.objectives import Objectives
from nas.spaces import SearchSpace
from nas.strategies.base import SpaceExhausted
from nas.strategies.testing.strategy_case import (
    CLASSES,
    SUITE,
    OnePoint,
    StrategyCase,
    choices_of,
    made_up_metrics,
    run_trials,
)
from nas.trial import Proposal

_MOST_CALLS = 1_000  # of propose within one ask


def _check_proposals(case: StrategyCase, space: str, limit: str, trials: int) -> None:
    strategy, wanted = case.make(space, [limit]), Objectives.parse(["f1"], [limit])
    asked = run_trials(strategy, trials)
    where = f"in '{space}' within {limit} (seed 0)"
    numbers = [trial.number for trial in asked]
    expect(numbers == list(range(trials)), f"{where}: trials must be numbered in order, got {numbers}")
    seen: dict[str, int] = {}
    for trial in asked:
        at = f"{where}: trial {trial.number}"
        plain = type(trial.choices) is tuple and all(type(choice) is int for choice in trial.choices)
        expect(plain, f"{at}: choices must be a tuple of Python integers, got {trial.choices!r}")
        canonical = strategy.space.canonical(strategy.space.validate(trial.choices))
        expect(trial.choices == canonical, f"{at}: {trial.choices} is not canonical")
        same = trial.architecture == strategy.space.decode(trial.choices)
        expect(same, f"{at}: the architecture is not that of its choices")
        first = seen.setdefault(trial.architecture.key, trial.number)
        expect(first == trial.number, f"{at}: the same network as trial {first}")
        expect(wanted.violation(made_up_metrics(trial.proposal)) == 0, f"{at}: over the limit")
    expect(len({trial.proposal.seed for trial in asked}) == trials, f"{where}: a training seed twice")


@SUITE.add("new networks within limits")
def check_proposals(case: StrategyCase) -> None:
    """Check for canonical points in Python integers, every network once, within the limits, in order."""
    _check_proposals(case, "toy", "params<=1G", 12)
    _check_proposals(case, "macro", "macs<=45.5M", 50)


@SUITE.add("new networks within limits, large space")
def check_proposals_in_a_large_space(case: StrategyCase) -> None:
    """Check the same where points cannot be enumerated and few are within the limits."""
    _check_proposals(case, "mobilenet", "params<=200k", 20)


def _check_exhaustion(case: StrategyCase, limits: Sequence[str]) -> None:
    strategy = case.make("toy", limits)
    feasible = {
        point
        for point in strategy.space.points()
        if not strategy.objectives.violation(
            made_up_metrics(Proposal(0, point, strategy.space.decode(point), 0))
        )
    }
    where = f"in 'toy' within {', '.join(limits) or 'no limits'} (seed 0)"
    asked = set(choices_of(run_trials(strategy, len(feasible))))
    expect(asked == feasible, f"{where}: every network once, got {sorted(asked)}")
    calls, propose = [0], strategy.propose

    def counted(rng: object) -> Sequence[int]:
        calls[0] += 1
        expect(calls[0] <= _MOST_CALLS, f"{where}: propose is called on and on, but nothing is left")
        return propose(rng)  # type: ignore[arg-type]

    strategy.propose = counted  # type: ignore[method-assign]
    for _ in range(2):
        calls[0] = 0
        expect_error(strategy.ask, str(len(feasible)), SpaceExhausted)


@SUITE.add("exhaustion")
def check_exhaustion(case: StrategyCase) -> None:
    """Check that every network is proposed, then ``SpaceExhausted`` raised, promptly, repeatedly."""
    _check_exhaustion(case, [])


@SUITE.add("exhaustion within limits")
def check_exhaustion_within_limits(case: StrategyCase) -> None:
    """Check the same for the networks within a limit."""
    _check_exhaustion(case, ["params<=4k"])


@SUITE.add("one point")
def check_one_point(case: StrategyCase) -> None:
    """Check that a space of one network gives that network, once."""
    strategy = case.make(OnePoint())
    asked = choices_of(run_trials(strategy, 1))
    expect(asked == [(0, 0)], f"expected the only point (0, 0), got {asked}")
    expect_error(strategy.ask, "", SpaceExhausted)


@SUITE.add("impossible limits")
def check_impossible(case: StrategyCase) -> None:
    """Check that an impossible limit is refused, with the true cost of the cheapest network."""
    for space, metric in (("toy", "params"), ("macro", "macs"), ("mobilenet", "params")):
        lowest = _cheapest(space, metric)
        wanted = f"{metric}<=100: the smallest found has {metric} {lowest:,}; "
        expect_error(partial(case.make, space, [f"{metric}<=100"]), wanted, UserError)


@cache
def _cheapest(name: str, metric: str) -> int:
    space: SearchSpace = nas.spaces.load(name)()
    points = space.points() if space.enumerable else [(0,) * len(space.decisions)]
    return min(int(getattr(cost(space.decode(point), CLASSES), metric)) for point in points)


@SUITE.add("measured limits")
def check_probes(case: StrategyCase) -> None:
    """Check that measured limits hold, and that only networks within the other limits are measured."""
    calls = [0]

    def latency(architecture: Architecture) -> float:
        macs = cost(architecture, CLASSES).macs
        expect(macs <= 60e6, "a network was measured although its macs are over the limit (seed 0)")
        calls[0] += 1
        return macs / 10e6

    strategy = case.make("macro", ["macs<=60M", "latency_ms<=4"], probes={"latency_ms": latency})
    for trial in run_trials(strategy, 15):
        macs = cost(trial.architecture, CLASSES).macs
        expect(macs <= 40e6, f"trial {trial.number} is over the measured limit (seed 0)")
    within = 15 <= calls[0] <= 15 * 80 + 40
    expect(within, f"{calls[0]} measurements for 15 trials (seed 0)")


@SUITE.add("limits known after training")
def check_late_limits(case: StrategyCase) -> None:
    """Check that a limit known only after training stops nothing, whether trials meet it or not."""
    for limit in ("f1>=8", "f1>=1000", "train_seconds<=1"):
        asked = run_trials(case.make("macro", [limit]), 25)
        expect(len({trial.choices for trial in asked}) == 25, f"within {limit} (seed 0): a network twice")


@SUITE.add("several objectives")
def check_several_objectives(case: StrategyCase) -> None:
    """Check that several goals leave a front, or are refused with a UserError that says so."""
    strategy = case.make_for_two_goals()
    if strategy is not None:
        asked = run_trials(strategy, 25)
        expect(len({trial.choices for trial in asked}) == 25, "for two goals (seed 0): a network twice")
        front = strategy.objectives.front(strategy.trials)
        expect(len(front) > 1, "25 trials for two goals (seed 0) left no front")
