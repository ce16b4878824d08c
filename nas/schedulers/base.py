"""What wraps a strategy between it and the loop: all passes through, except what the wrapper decides."""

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
    """A strategy, or another wrapper, with something else to ask for.

    Args:
        inner: what is wrapped; new, with nothing told.
    """

    def __init__(self, inner: R) -> None:
        self._inner = inner

    @abstractmethod
    def ask(self) -> Proposal:
        """What to train next.

        Raises:
            SpaceExhausted: there is nothing left to train.
        """

    @property
    def trials(self) -> list[Trial]:
        """Told trials, in the order they were told."""
        return self._inner.trials

    @property
    def pending(self) -> Mapping[int, Proposal]:
        """Asked for and not told, by number."""
        return self._inner.pending

    @property
    def begun(self) -> int | Fraction:
        """Trials told or under way; a part of a full training counts as that part."""
        return self._inner.begun

    @property
    def objectives(self) -> Objectives:
        """Goals and limits."""
        return self._inner.objectives

    @property
    def trained(self) -> list[Proposal]:
        """Every training told or under way."""
        return [*(trial.proposal for trial in self.trials), *self.pending.values()]

    def tell(self, trial: Trial) -> None:
        """Take the outcome of a trial."""
        self._inner.tell(trial)

    def resume(self, proposal: Proposal) -> None:
        """Take up a proposal that was asked for before an interruption and has not been told."""
        self._inner.resume(proposal)

    def reserve(self, known: Proposal, *, epochs: int | None, parent: int | None = None) -> Proposal:
        """Another training of a known network, see :meth:`nas.strategies.base.Strategy.reserve`."""
        return self._inner.reserve(known, epochs=epochs, parent=parent)

    def measure(self, architecture: Architecture) -> dict[str, float]:
        """What is known of a network before training."""
        return self._inner.measure(architecture)
