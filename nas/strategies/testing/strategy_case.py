"""A strategy under test, and the studies that the checks run with it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import nas.spaces
import nas.strategies
from core.contracts import Suite
from core.errors import UserError
from nas.architecture import Architecture
from nas.cost import cost
from nas.objectives import Objectives
from nas.spaces import Decision, SearchSpace
from nas.strategies.base import Strategy
from nas.trial import Proposal, Trial

CLASSES = 10
Outcome = Callable[[Proposal], Trial]


@dataclass(frozen=True)
class StrategyCase:
    """A strategy class and the options it is made with."""

    kind: type[Strategy]
    options: Mapping[str, Any]
    name: str  # as ``nas.strategies.load`` takes it, or the class's

    def __str__(self) -> str:
        options = ", ".join(f"{name}={value!r}" for name, value in self.options.items())
        return f"{self.name}({options})" if options else self.name

    def make(
        self,
        space: str | SearchSpace = "macro",
        limits: Sequence[str] = (),
        *,
        goals: Sequence[str] = ("f1:max",),
        seed: int = 0,
        probes: Mapping[str, Callable[[Architecture], float]] | None = None,
    ) -> Strategy:
        """Return a new strategy with no trials."""
        loaded = nas.spaces.load(space)() if isinstance(space, str) else space
        objectives = Objectives.parse(goals, limits)
        return self.kind(
            loaded, objectives, seed=seed, num_classes=CLASSES, probes=probes, **self.options
        )

    def make_for_two_goals(self, space: str | SearchSpace = "macro") -> Strategy | None:
        """Return a new strategy for F1 and MACs, or ``None`` where it takes only one objective."""
        try:
            return self.make(space, goals=("f1:max", "macs:min"))
        except UserError as error:
            if "objective" not in str(error):
                raise
            return None


def case_of(strategy: type[Strategy] | str, options: Mapping[str, Any]) -> StrategyCase:
    """Return the subject of a check."""
    if isinstance(strategy, str):
        return StrategyCase(nas.strategies.load(strategy), options, strategy)
    return StrategyCase(strategy, options, strategy.__name__)


SUITE: Suite[StrategyCase] = Suite(lambda strategy, **options: case_of(strategy, options))


class OnePoint(SearchSpace):
    """A single network."""

    def make_decisions(self) -> tuple[Decision, ...]:
        """Return two decisions with one option each."""
        return (Decision("width", (8,)), Decision("depth", (1,)))

    def decode(self, choices: Sequence[int]) -> Architecture:
        """Return the smallest network of the toy space."""
        return nas.spaces.load("toy")().decode((0, 0, 0, 0))


def made_up_metrics(proposal: Proposal) -> dict[str, float]:
    """Return a smooth made-up F1, best at the last option of every decision, and the true costs."""
    total = cost(proposal.architecture, CLASSES)
    return {"f1": float(sum(proposal.choices)), "params": total.params, "macs": total.macs}


def fails(number: int) -> bool:
    """Tell if a trial fails: every fifth raises, every seventh returns NaN."""
    return number % 5 == 4 or number % 7 == 6


def outcome(proposal: Proposal) -> Trial:
    """Return a completed trial, a failure or a NaN, by the trial's number."""
    if proposal.number % 5 == 4:
        return proposal.fail("out of luck")
    metrics = made_up_metrics(proposal)
    if fails(proposal.number):
        metrics["f1"] = math.nan
    return proposal.complete(metrics)


def run_trials(strategy: Strategy, trials: int, outcome: Outcome = outcome) -> list[Trial]:
    """Ask and tell, one trial at a time."""
    asked = []
    for _ in range(trials):
        trial = outcome(strategy.ask())
        strategy.tell(trial)
        asked.append(trial)
    return asked


def choices_of(trials: Iterable[Trial]) -> list[tuple[int, ...]]:
    """Return the points, in order."""
    return [trial.choices for trial in trials]
