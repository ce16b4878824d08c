"""The search loop: ask, execute, tell, store."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Protocol

from nas.architecture import Architecture
from nas.objectives import Objectives
from nas.strategies.base import SpaceExhausted
from nas.trial import Proposal, Trial


class EvaluationError(Exception):
    """Training a proposal failed for a reason of its own; the trial fails and the study goes on."""


class Evaluator(Protocol):
    """Trains and measures one proposal."""

    def __call__(self, proposal: Proposal) -> Mapping[str, float]:
        """Metrics of the trained network.

        Raises:
            EvaluationError: the training failed.
        """
        ...


class Executor(Protocol):
    """Runs evaluations, one or several at a time."""

    slots: int

    def submit(self, proposal: Proposal) -> None:
        """Start, or queue, an evaluation."""
        ...

    def collect(self) -> Trial:
        """Wait for the next evaluation to end; a failed one is a failed trial."""
        ...


class AskTell(Protocol):
    """What the loop needs of a strategy, or of a wrapper that re-trains networks between its asks.

    Numbers are consecutive over everything that is asked, and told trials alone restore the state.
    """

    @property
    def trials(self) -> list[Trial]:
        """Told trials, in the order they were told."""
        ...

    @property
    def begun(self) -> int | Fraction:
        """Trials told or under way; a training that is a part of a full one counts as that part."""
        ...

    def ask(self) -> Proposal:
        """What to train next.

        Raises:
            SpaceExhausted: there is nothing left to train.
        """
        ...

    def tell(self, trial: Trial) -> None:
        """Take the outcome of a trial; it becomes the last of :attr:`trials`."""
        ...

    def resume(self, proposal: Proposal) -> None:
        """Take up a proposal that was asked for before an interruption and has not been told."""
        ...

    def measure(self, architecture: Architecture) -> dict[str, float]:
        """What is known of a network before training."""
        ...


class ReservingAskTell(AskTell, Protocol):
    """What a wrapper needs of what it wraps."""

    @property
    def objectives(self) -> Objectives:
        """Goals and limits."""
        ...

    @property
    def pending(self) -> Mapping[int, Proposal]:
        """Asked for and not told, by number."""
        ...

    def reserve(self, known: Proposal, *, epochs: int | None, parent: int | None = None) -> Proposal:
        """Another training of a known network, see :meth:`nas.strategies.base.Strategy.reserve`."""
        ...


class TrialStore(Protocol):
    """Keeps what was begun and what ended."""

    def trials(self) -> list[Trial]:
        """Finished trials, by number."""
        ...

    def unfinished(self) -> list[Proposal]:
        """Proposals that began and never ended, by number."""
        ...

    def begin(self, proposal: Proposal, costs: Mapping[str, float]) -> None:
        """Record that a proposal is being trained."""
        ...

    def finish(self, trial: Trial) -> None:
        """Record the outcome of a proposal that began."""
        ...


class TrialListener(Protocol):
    """Hears what the loop does, for progress displays."""

    def trial_started(self, proposal: Proposal) -> None:
        """A proposal is about to be trained."""
        ...

    def trial_finished(self, trial: Trial) -> None:
        """A trial ended and was stored."""
        ...


def run_study(
    strategy: AskTell,
    executor: Executor,
    store: TrialStore,
    *,
    trials: int,
    timeout: float | None = None,
    listener: TrialListener | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> str:
    """Run a study up to ``trials`` trials, after those that it already holds.

    The strategy is told the stored trials first, and proposals that an interruption cut short are
    trained again, so a resumed sequential study proposes what an uninterrupted one would have. Under a
    limit on latency that holds as far as timings repeat, and guesses made from them.

    Args:
        strategy: a strategy, or a wrapper of one; new, with nothing told.
        executor: trains the proposals.
        store: the study.
        trials: total number, failed ones and those of earlier runs included; see :attr:`AskTell.begun`.
        timeout: seconds after which nothing new is started.
        listener: hears of every trial.
        clock: seconds.

    Returns:
        Why it ended: ``"trials"``, ``"timeout"`` or ``"exhausted"``.
    """
    deadline = None if timeout is None else clock() + timeout
    for trial in store.trials():
        strategy.tell(trial)
    waiting = store.unfinished()
    for proposal in waiting:
        strategy.resume(proposal)
    running, reason = 0, "trials"
    while True:
        while running < executor.slots and (waiting or strategy.begun < trials):
            if deadline is not None and clock() >= deadline:
                reason = "timeout"
                break
            if waiting:
                proposal = waiting.pop(0)
            else:
                try:
                    proposal = strategy.ask()
                except SpaceExhausted:
                    reason = "exhausted"
                    break
                reason = "trials"
            store.begin(proposal, strategy.measure(proposal.architecture))
            if listener is not None:
                listener.trial_started(proposal)
            executor.submit(proposal)
            running += 1
        if running == 0:
            return reason
        trial = executor.collect()
        running -= 1
        strategy.tell(trial)
        store.finish(strategy.trials[-1])
        if listener is not None:
            listener.trial_finished(strategy.trials[-1])
