"""ASHA: train many networks briefly, and only the best of them longer.

Source: Li et al., "A System for Massively Parallel Hyperparameter Tuning", MLSys 2020, algorithm 2.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise

from core.errors import UserError
from nas import pareto
from nas.schedulers.base import Scheduler
from nas.strategies.base import Strategy
from nas.trial import Proposal, Trial

ETA = 3  # the paper's reduction factor: a rung passes one in so many on, to so many times the epochs


def rungs(epochs: int, eta: int = ETA) -> tuple[int, ...]:
    """Return the lengths of training in epochs, ascending: ``epochs``, a third of it, and so on.

    Raises:
        UserError: there is but one.
    """
    lengths = [epochs]
    while lengths[-1] >= eta:
        lengths.append(lengths[-1] // eta)
    if len(lengths) == 1:
        raise UserError(
            f"asha cannot shorten a training of {epochs} epochs; train for {eta} epochs or more"
        )
    return tuple(reversed(lengths))


class SuccessiveHalving(Scheduler[Strategy]):
    """Asynchronous successive halving: continue the training of the best third of a strategy's networks.

    A new network is trained for the shortest length. Whenever a finished training is among the best
    third of its rung (all trainings of that length) and has not been continued, it is continued for the
    next length, from the top rung down; only where there is none, the strategy is asked for a new
    network. The best are those of NSGA-II's order: within the limits first, then by front, then in the
    least crowded part of it, then the earliest. A continuation that fails is not tried again.

    A trial counts as the part of a full training that it adds, so ``trials`` of a study are a budget of
    so many full trainings, whatever they are spent on. The strategy learns from the shortest rung alone,
    where every network has a result.

    Args:
        strategy: new, with no trials.
        epochs: of a full training.
        eta: see :data:`ETA`.

    Raises:
        UserError: a full training is too short to be divided.
    """

    def __init__(self, strategy: Strategy, *, epochs: int, eta: int = ETA) -> None:
        self.rungs = rungs(epochs, eta)
        super().__init__(strategy)
        self._eta = eta

    @property
    def begun(self) -> Fraction:
        """Finished plus running epochs, in full trainings."""
        return sum(map(self.share, self.trained), start=Fraction(0))

    def share(self, proposal: Proposal) -> Fraction:
        """Return the fraction of a full training that a proposal adds to its parent's training."""
        return Fraction(self._added(proposal), self.rungs[-1])

    def ask(self) -> Proposal:
        """Return a network to train longer, or a new one.

        Raises:
            SpaceExhausted: there is no new network, and none to train further.
        """
        for length, longer in reversed(list(pairwise(self.rungs))):
            if (best := self._promotable(self._rung(length))) is not None:
                return self.reserve(best.proposal, epochs=longer, parent=best.number)
        return self._inner.ask(self.rungs[0])

    def continuable(self, trials: int) -> set[int]:
        """Return the numbers of the trials whose checkpoints a study of ``trials`` may still read.

        Those are the running trials and their parents; and the completed ones below the top rung that
        were not continued and could yet be among the best third of their rung, if everything the budget
        can add to the rung were worse than they are. Networks that dominate a trial stay before it
        whatever is added, so their number is the least place it can have.
        """
        needed = set(self.pending)
        needed |= {proposal.parent for proposal in self.pending.values() if proposal.parent is not None}
        left = (trials - self.begun) * self.rungs[-1]  # epochs
        waiting = Counter(proposal.epochs for proposal in self.pending.values())
        continued = self._continued()
        for below, length in pairwise((0, *self.rungs[:-1])):
            rung = self._rung(length)
            additions = max(0, math.ceil(left / (length - below))) + waiting[length]
            passing = (len(rung) + additions) // self._eta
            ahead = pareto.dominators(*self._merits(rung)) if rung else ()
            needed |= {
                trial.number
                for trial, places in zip(rung, ahead, strict=True)
                if places < passing and trial.number not in continued
            }
        return needed

    def _promotable(self, rung: Sequence[Trial]) -> Trial | None:
        """Return the best trial of the rung's best third that was not continued."""
        places = pareto.order(*self._merits(rung)) if rung else []
        best = sorted(range(len(rung)), key=lambda index: (places[index], rung[index].number))
        continued = self._continued()
        passing = (rung[index] for index in best[: len(rung) // self._eta])
        return next((trial for trial in passing if trial.number not in continued), None)

    def _rung(self, length: int) -> list[Trial]:
        """Return the completed trainings of a length, by number, without repeats from scratch."""
        first: dict[str, int] = {}
        for proposal in self.trained:
            number = first.setdefault(proposal.architecture.key, proposal.number)
            first[proposal.architecture.key] = min(number, proposal.number)
        rung = [
            trial
            for trial in self.trials
            if trial.completed
            and trial.proposal.epochs == length
            and (trial.proposal.parent is not None or first[trial.architecture.key] == trial.number)
        ]
        return sorted(rung, key=lambda trial: trial.number)

    def _merits(self, rung: Sequence[Trial]) -> tuple[list[tuple[float, ...]], list[float]]:
        """Return losses and limit violations, per trial."""
        losses = [self.objectives.losses(trial.metrics or {}) for trial in rung]
        return losses, [self.objectives.violation(trial.metrics or {}) for trial in rung]

    def _continued(self) -> set[int | None]:
        return {proposal.parent for proposal in self.trained}

    def _added(self, proposal: Proposal) -> int:
        """Return the epochs beyond those of the parent."""
        if proposal.epochs not in self.rungs:
            raise ValueError(f"trial {proposal.number} has {proposal.epochs} epochs, not of {self.rungs}")
        place = self.rungs.index(proposal.epochs)
        below = self.rungs[place - 1] if proposal.parent is not None else 0
        return proposal.epochs - below
