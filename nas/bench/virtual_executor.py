"""Executor and study of a simulated search: workers on a virtual clock, trials in memory."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Mapping

from nas.search import EvaluationError, Evaluator
from nas.trial import Proposal, Trial


class VirtualExecutor:
    """An executor whose workers evaluate at once and report on a virtual clock.

    Args:
        evaluator: evaluates a proposal in no time.
        duration: of its training, in any unit.
        slots: workers.
    """

    def __init__(
        self, evaluator: Evaluator, duration: Callable[[Proposal], float], slots: int = 1
    ) -> None:
        self.slots = slots
        self.now = 0.0  # of the virtual clock, in the unit of ``duration``
        self._evaluator, self._duration = evaluator, duration
        self._running: list[tuple[float, int, Proposal]] = []  # a heap by end

    def submit(self, proposal: Proposal) -> None:
        """Start an evaluation now.

        Raises:
            RuntimeError: every worker is busy.
        """
        if len(self._running) == self.slots:
            raise RuntimeError("every worker is busy")
        heapq.heappush(self._running, (self.now + self._duration(proposal), proposal.number, proposal))

    def collect(self) -> Trial:
        """Advance the clock to the next evaluation that ends."""
        self.now, _, proposal = heapq.heappop(self._running)
        try:
            return proposal.complete(self._evaluator(proposal))
        except EvaluationError as error:
            return proposal.fail(str(error))


class MemoryStudy:
    """A study kept in memory."""

    def __init__(self) -> None:
        self._begun: dict[int, Proposal] = {}
        self.finished: list[Trial] = []  # in the order they ended

    def begin(self, proposal: Proposal, costs: Mapping[str, float]) -> None:
        """Record that a proposal is being trained."""
        self._begun[proposal.number] = proposal

    def finish(self, trial: Trial) -> None:
        """Record the outcome of a proposal that began."""
        del self._begun[trial.number]
        self.finished.append(trial)

    def trials(self) -> list[Trial]:
        """Return the finished trials, by number."""
        return sorted(self.finished, key=lambda trial: trial.number)

    def unfinished(self) -> list[Proposal]:
        """Return the proposals that began and never ended, by number."""
        return [self._begun[number] for number in sorted(self._begun)]
