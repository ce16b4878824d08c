"""The search loop: ask, execute, tell, store."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from fractions import Fraction
from typing import Protocol, Self

from nas.architecture import Architecture
from nas.objectives import Objectives
from nas.strategies.base import SpaceExhausted
from nas.trial import Proposal, Trial


class EvaluationError(Exception):
    """Failure of one training, such as divergence: the trial fails, the study continues."""


class Evaluator(Protocol):
    """Training and measurement of one proposal."""

    def __call__(self, proposal: Proposal) -> Mapping[str, float]:
        """Return the metrics of the trained network.

        Raises:
            EvaluationError: the training failed.
        """
        ...


class Executor(ABC):
    """Execution of evaluations, one or several at a time.

    Use it as a context manager: leaving it ends whatever still runs.
    """

    @property
    @abstractmethod
    def slots(self) -> int:
        """Number of evaluations at a time, at least 1; it may change with every :meth:`collect`."""

    @abstractmethod
    def submit(self, proposal: Proposal) -> None:
        """Start, or queue, an evaluation.

        Raises:
            RuntimeError: as many as there are slots are submitted already.
        """

    @abstractmethod
    def collect(self) -> Trial | None:
        """Wait for the next evaluation to end; a failed one gives a failed trial.

        ``None``: none has ended, but there are more :attr:`slots`.

        Raises:
            UserError: no evaluation can be run.
            Exception: whatever a bug in the evaluator raised.
        """

    @classmethod  # noqa: B027  (most need nothing)
    def check(cls) -> None:
        """Check that there is something to run on, before a search reads anything.

        Raises:
            UserError: there is not.
        """

    def __enter__(self) -> Self:
        return self

    def close(self) -> None:  # noqa: B027  (those that run nothing by themselves have nothing to end)
        """End what still runs."""

    def __exit__(self, *error: object) -> None:
        self.close()


class AskTell(Protocol):
    """Interface of strategies and schedulers to the search loop.

    Numbers are consecutive over everything that is asked, and told trials alone restore the state.
    """

    @property
    def trials(self) -> list[Trial]:
        """Finished trials, in the order they were told."""
        ...

    @property
    def begun(self) -> int | Fraction:
        """Finished plus running trials; a low-fidelity trial counts fractionally."""
        ...

    def ask(self) -> Proposal:
        """Return the next proposal.

        Raises:
            SpaceExhausted: there is nothing left to train.
        """
        ...

    def tell(self, trial: Trial) -> None:
        """Record the outcome of a trial; it becomes the last of :attr:`trials`."""
        ...

    def resume(self, proposal: Proposal) -> None:
        """Resume a proposal that an interruption left unfinished."""
        ...

    def measure(self, architecture: Architecture) -> dict[str, float]:
        """Return the metrics that are known before training."""
        ...


class ReservingAskTell(AskTell, Protocol):
    """Interface of strategies and schedulers to the scheduler that decorates them."""

    @property
    def objectives(self) -> Objectives:
        """Goals and limits."""
        ...

    @property
    def pending(self) -> Mapping[int, Proposal]:
        """Running proposals, by number."""
        ...

    def reserve(self, known: Proposal, *, epochs: int | None, parent: int | None = None) -> Proposal:
        """Propose another training of a known network (:meth:`nas.strategies.base.Strategy.reserve`)."""
        ...


class TrialStore(Protocol):
    """Storage of a study's proposals and trials."""

    def trials(self) -> list[Trial]:
        """Return the finished trials, by number."""
        ...

    def unfinished(self) -> list[Proposal]:
        """Return the proposals that began and never ended, by number."""
        ...

    def begin(self, proposal: Proposal, costs: Mapping[str, float]) -> None:
        """Record that a proposal is being trained."""
        ...

    def finish(self, trial: Trial) -> None:
        """Record the outcome of a proposal that began."""
        ...


class TrialListener(Protocol):
    """Callbacks of the search loop, for progress displays."""

    def trial_started(self, proposal: Proposal) -> None:
        """Handle a proposal whose training is about to start."""
        ...

    def trial_finished(self, trial: Trial) -> None:
        """Handle a trial that ended and was stored."""
        ...


def evaluated(executor: Executor, proposals: Iterable[Proposal]) -> Iterator[Trial]:
    """Evaluate given proposals, as many at a time as there are slots; yield trials as they end."""
    waiting, running = deque(proposals), 0
    while waiting or running:
        while waiting and running < executor.slots:
            executor.submit(waiting.popleft())
            running += 1
        if (trial := executor.collect()) is not None:
            running -= 1
            yield trial


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
    """Run a study up to ``trials`` trials, those that it already holds included.

    The strategy is told the stored trials first, and proposals that an interruption cut short are
    trained again, so a resumed sequential study proposes what an uninterrupted one would have. Under a
    limit on latency that holds as far as timings repeat, and guesses made from them.

    Args:
        strategy: a strategy or scheduler; new, with no trials.
        executor: trains the proposals.
        store: the study.
        trials: total number, failed ones and those of earlier runs included; see :attr:`AskTell.begun`.
        timeout: seconds after which nothing new is started.
        listener: callbacks per trial.
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
        ended = executor.collect()
        if ended is None:
            continue
        running -= 1
        strategy.tell(ended)
        store.finish(strategy.trials[-1])
        if listener is not None:
            listener.trial_finished(strategy.trials[-1])
