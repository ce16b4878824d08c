"""The scheduler contract: decorate a strategy between it and the search loop."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from fractions import Fraction
from typing import Generic, TypeVar

from nas.architecture import Architecture
from nas.objectives import Objectives
from nas.search import ReservingAskTell
from nas.trial import Proposal, Trial

R = TypeVar("R", bound=ReservingAskTell)


class Scheduler(ABC, Generic[R]):
    """Base class of trial schedulers: decorates a strategy, delegates by default.

    Args:
        inner: the decorated strategy or scheduler; new, with no trials.
    """

    def __init__(self, inner: R) -> None:
        self._inner = inner

    @abstractmethod
    def ask(self) -> Proposal:
        """Return the next proposal.

        Raises:
            SpaceExhausted: there is nothing left to train.
        """

    @property
    def trials(self) -> list[Trial]:
        """Finished trials, in the order they were told."""
        return self._inner.trials

    @property
    def pending(self) -> Mapping[int, Proposal]:
        """Running proposals, by number."""
        return self._inner.pending

    @property
    def begun(self) -> int | Fraction:
        """Finished plus running trials; a low-fidelity trial counts fractionally."""
        return self._inner.begun

    @property
    def objectives(self) -> Objectives:
        """Goals and limits."""
        return self._inner.objectives

    @property
    def trained(self) -> list[Proposal]:
        """Proposals of all finished and running trials."""
        return [*(trial.proposal for trial in self.trials), *self.pending.values()]

    def tell(self, trial: Trial) -> None:
        """Record the outcome of a trial."""
        self._inner.tell(trial)

    def resume(self, proposal: Proposal) -> None:
        """Resume a proposal that an interruption left unfinished."""
        self._inner.resume(proposal)

    def reserve(self, known: Proposal, *, epochs: int | None, parent: int | None = None) -> Proposal:
        """Propose another training of a known network (:meth:`nas.strategies.base.Strategy.reserve`)."""
        return self._inner.reserve(known, epochs=epochs, parent=parent)

    def measure(self, architecture: Architecture) -> dict[str, float]:
        """Return the metrics that are known before training."""
        return self._inner.measure(architecture)
