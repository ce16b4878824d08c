"""Confirmation: the last trials of a study re-train its best networks with new seeds.

One training tells a network's quality only up to the noise of its seed, and the best of many noisy
results is a lucky one.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Sequence
from statistics import fmean

import numpy as np
from numpy.typing import NDArray

from core.errors import UserError
from nas.schedulers.base import Scheduler
from nas.search import ReservingAskTell
from nas.strategies.base import SpaceExhausted
from nas.trial import Proposal, Trial

_TAIL = 0.25  # share of the networks, the best ones, whose results shape the prior
_LEAST = 5  # networks, at least
_GUESS = 0.25  # noise before it is measured, as a share of the tail's mean excess
_GUESS_WEIGHT = 2  # of that guess, in repeats
_TINY = 1e-12

_Floats = NDArray[np.float64]


class Confirmation(Scheduler[ReservingAskTell]):
    """Scheduler that ends a study with re-trainings of its best networks.

    Every network's merit is the mean of its trainings (see :meth:`Objectives.front`), and the one whose
    next training promises most for the pick is trained again: see :func:`most_informative`. With
    several goals it is the network of the front that was trained least. Where nothing can be confirmed
    yet, the search continues; where the space is exhausted, confirmation begins early. Where trainings
    have several lengths, networks that were trained in full are trained again, from scratch and in full.
    Where a timeout would end the study before, the last part of the time goes to confirmations, as
    :class:`nas.schedulers.confirmation.Pace` finds it; that takes two networks to choose from.

    Args:
        strategy: a strategy or scheduler; new, with no trials.
        trials: of the whole study, confirmations included.
        confirm: how many of them, the last, re-train known networks.
        epochs: of a full training; ``None``: all are.
        pace: knows when the search has to end; ``None``: it need not.

    Raises:
        UserError: nothing would be left to confirm.
    """

    def __init__(
        self,
        strategy: ReservingAskTell,
        *,
        trials: int,
        confirm: int,
        epochs: int | None = None,
        pace: Pace | None = None,
    ) -> None:
        if not 0 <= confirm < trials:
            raise UserError(
                f"{confirm} confirmations in {trials} trials leave none for the search; confirm fewer"
            )
        super().__init__(strategy)
        self._trials, self._confirm, self._epochs = trials, confirm, epochs
        self._pace = Pace(None) if pace is None else pace
        self.repeats: set[int] = set()  # numbers of the confirmations proposed here

    def ask(self) -> Proposal:
        """Return a new network, or near the end of the study a known one with a new seed.

        Raises:
            SpaceExhausted: there is no new network, and the confirmations are over or impossible.
        """
        self._pace.start()
        proposal = self._next()
        self._pace.asked(proposal.number)
        return proposal

    def tell(self, trial: Trial) -> None:
        """Record the outcome of a trial and its duration."""
        self._pace.start()
        self._pace.told(trial.number, self._part(trial.proposal) if trial.completed else None)
        super().tell(trial)

    def resume(self, proposal: Proposal) -> None:
        """Resume a proposal that an interruption left unfinished."""
        self._pace.start()
        super().resume(proposal)

    def _next(self) -> Proposal:
        if self._ending() and (candidate := self._candidate()) is not None:
            return self._repeat(candidate)
        try:
            return self._inner.ask()
        except SpaceExhausted:
            candidate = self._candidate()
            if candidate is None or self._repeated() >= self._confirm:
                raise
            return self._repeat(candidate)

    def _ending(self) -> bool:
        """Tell if the remaining trials or the remaining time are for confirmations."""
        if self.begun - len(self.repeats) >= self._trials - self._confirm:
            return True
        if len(self.repeats) >= self._confirm or not self._pace.ends_with(self._confirm, self._trials):
            return False
        full = [trial for trial in self.trials if trial.proposal.epochs == self._epochs]
        return len(self.objectives.compared(full)) > 1

    def _part(self, proposal: Proposal) -> float:
        """Return the fraction of a full training beyond the parent's epochs."""
        if proposal.epochs is None or self._epochs is None:
            return 1.0
        parent = next((p for p in self.trained if p.number == proposal.parent), None)
        before = 0 if parent is None else parent.epochs or 0
        return (proposal.epochs - before) / self._epochs

    def _repeat(self, known: Proposal) -> Proposal:
        proposal = self.reserve(known, epochs=self._epochs)
        self.repeats.add(proposal.number)
        return proposal

    def _repeated(self) -> int:
        """Count finished and running trainings from scratch of networks that were trained before."""
        keys = [proposal.architecture.key for proposal in self.trained if proposal.parent is None]
        return len(keys) - len(set(keys))

    def _candidate(self) -> Proposal | None:
        """Return the network to re-train, ``None`` before a feasible one completed a full training."""
        objectives = self.objectives
        full = [trial for trial in self.trials if trial.proposal.epochs == self._epochs]
        attempts = Counter(proposal.group for proposal in self.trained)
        if len(objectives.goals) > 1:
            front = objectives.front(full)
            least = min(front, key=lambda trial: attempts[trial.proposal.group], default=None)
            return None if least is None else least.proposal
        networks = objectives.compared(full)
        if not networks:
            return None
        observed: dict[tuple[str, int | None], list[float]] = {t.proposal.group: [] for t in networks}
        for trial in objectives.sound(full):
            if trial.proposal.group in observed:
                loss = objectives.losses(trial.metrics or {})[0]
                observed[trial.proposal.group].append(-loss)
        counts = [attempts[group] for group in observed]
        return networks[most_informative(list(observed.values()), counts)].proposal


def most_informative(observed: Sequence[Sequence[float]], attempts: Sequence[int]) -> int:
    """Return the index of the network whose next training promises the greatest gain for the pick.

    The knowledge gradient of one more training (Frazier, Powell & Dayanik 2008), under the posterior of
    an exponential prior of rate 1/e on the true merits and normal noise of variance s2: after n
    trainings of mean y, N(y - s2/(n e), s2/n). The shift takes back the luck of having been selected
    (Tweedie's formula; Efron 2011). e is the mean excess of the best quarter's first results, s2 is
    pooled over the repeats so far.

    Args:
        observed: per network its results, in the order they came; more is better.
        attempts: per network its trainings so far; running and failed ones are included, and
            taken to change nothing but the certainty.
    """
    first = np.array([results[0] for results in observed])
    mean = np.array([np.mean(results) for results in observed])
    n = np.array(
        [float(max(count, len(results))) for count, results in zip(attempts, observed, strict=True)]
    )
    excess = _mean_excess(first)
    squares = sum(float(np.sum((np.array(results) - np.mean(results)) ** 2)) for results in observed)
    repeats = sum(len(results) - 1 for results in observed)
    variance = (squares + _GUESS_WEIGHT * (_GUESS * excess) ** 2) / (repeats + _GUESS_WEIGHT)
    excess = max(excess, math.sqrt(variance) / 2, _TINY)  # noise alone has about that much
    gain = _knowledge_gradient(mean - variance / (n * excess), np.sqrt(variance / (n * (n + 1))))
    return max(range(len(observed)), key=lambda index: (gain[index], -n[index], mean[index]))


def _mean_excess(results: _Floats) -> float:
    """Return the mean excess of the best results over the best of the rest."""
    ordered = np.sort(results)[::-1]
    count = min(max(_LEAST, math.ceil(_TAIL * len(ordered))), len(ordered) - 1)
    return float(np.mean(ordered[:count] - ordered[count])) if count > 0 else 0.0


def _knowledge_gradient(merit: _Floats, change: _Floats) -> _Floats:
    """Return the expected rise of the greatest posterior mean by one more training of each network.

    Args:
        merit: (k,) posterior means.
        change: (k,) standard deviation of what one more training changes them by.
    """
    if len(merit) == 1:
        return np.zeros(1)
    second, best = np.partition(merit, -2)[-2:]
    rival = np.where(np.arange(len(merit)) == int(merit.argmax()), second, best)
    z = -np.abs(merit - rival) / np.maximum(change, _TINY)
    density = np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)
    below = np.array([math.erfc(-value / math.sqrt(2)) / 2 for value in z])
    gain: _Floats = change * (z * below + density)
    return gain


_SHARE = 0.2  # of the time that confirmations may always take


class Pace:
    """Clock of a search with a timeout: training durations and the time left for confirmations.

    Args:
        timeout: seconds from :meth:`start` on, after which nothing new is started; ``None``: never ends.
        clock: seconds.
    """

    def __init__(self, timeout: float | None, clock: Callable[[], float] = time.monotonic) -> None:
        self._timeout, self._clock = timeout, clock
        self._begun: float | None = None
        self._running: dict[int, float] = {}  # start of each running trial, seconds
        self._full: list[float] = []  # seconds of a full training, as each trial would have it
        self._slots = 1

    def start(self) -> None:
        """Record the start of the search; only the first call counts."""
        if self._begun is None:
            self._begun = self._clock()

    def asked(self, number: int) -> None:
        """Record the start of a trial."""
        self._running[number] = self._clock()
        self._slots = max(self._slots, len(self._running))

    def told(self, number: int, part: float | None) -> None:
        """Record the end of a trial.

        Args:
            number: of the trial; trials that were not proposed here are not timed.
            part: of a full training that it was; ``None`` where it failed.
        """
        asked = self._running.pop(number, None)
        if asked is not None and part is not None:
            self._full.append((self._clock() - asked) / part)

    def ends_with(self, confirm: int, trials: int) -> bool:
        """Tell if another new network would end in the time reserved for confirmations.

        Kept is what ``confirm`` full trainings take, but no more than their share of the trials, or a
        fifth where that is more.

        Args:
            confirm: wanted confirmations.
            trials: of the whole study, confirmations included.
        """
        if self._timeout is None or self._begun is None or not self._full or not confirm:
            return False
        seconds = fmean(self._full)
        most = self._timeout * max(confirm / trials, _SHARE)
        kept = min(confirm * seconds / self._slots, most)
        return self._clock() - self._begun + seconds > self._timeout - kept
