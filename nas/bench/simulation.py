"""A simulated search on a table: its job, the virtual clock of its workers, and trials in memory."""

from __future__ import annotations

import heapq
import statistics
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

import nas.spaces
import nas.strategies
from core.errors import UserError
from nas.architecture import Architecture
from nas.bench.regret import Trajectory, Truth, trajectory
from nas.bench.table import Table, TableEvaluator
from nas.objectives import Objectives
from nas.schedulers.confirmation import Confirmation
from nas.search import AskTell, EvaluationError, Evaluator, Executor, run_study
from nas.strategies.base import Strategy
from nas.trial import Proposal, Trial


@dataclass(frozen=True)
class Job:
    """The settings of a benchmark run; picklable, and complete: a run depends on nothing else.

    Attributes:
        table: JSON file, see :mod:`nas.bench.table`.
        space: name of its space.
        strategy: name of the strategy.
        options: of the strategy.
        goals: as on the command line.
        limits: as on the command line.
        trials: evaluations, confirmations included.
        confirm: the last so many evaluations re-train known networks.
        workers: trials at a time, in virtual time.
        seed: of all runs together.
    """

    table: Path
    strategy: str
    trials: int
    options: Mapping[str, Any] = field(default_factory=dict)
    space: str = "macro"
    goals: tuple[str, ...] = ("f1:max",)
    limits: tuple[str, ...] = ()
    confirm: int = 0
    workers: int = 1
    seed: int = 0


def run_seed(seed: int, index: int) -> int:
    """Return the seed of run ``index`` under the benchmark's ``seed``; the same for every strategy."""
    return int(np.random.SeedSequence([seed, index]).generate_state(1)[0])


def run_job(job: Job, index: int) -> Trajectory:
    """Run one search; the same index gives the same run seed to every strategy.

    Raises:
        UserError: a name, a limit or the table is wrong.
    """
    truth = truth_of(job)
    seed = run_seed(job.seed, index)
    strategy_class = nas.strategies.load(job.strategy)
    strategy = strategy_class(
        truth.table.space,
        truth.objectives,
        seed=seed,
        num_classes=truth.table.num_classes,
        **fitting(strategy_class, job.options),
    )
    source = Confirmation(strategy, trials=job.trials, confirm=job.confirm)
    return run_source(
        source, truth, trials=job.trials, workers=job.workers, seed=seed, deliberate=source.repeats
    )


def run_source(
    source: AskTell,
    truth: Truth,
    *,
    trials: int,
    workers: int = 1,
    seed: int = 0,
    deliberate: Collection[int] = (),
) -> Trajectory:
    """Run the search loop on a table in virtual time.

    Args:
        source: a strategy or scheduler; new, with no trials.
        truth: holds the table.
        trials: evaluations.
        workers: trials at a time.
        seed: of what the evaluations observe and how long they take.
        deliberate: numbers of trials that re-train known networks on purpose; read at the end.
    """
    evaluator, study, watched = TableEvaluator(truth.table, seed), MemoryStudy(), _Watched(source)
    run_study(watched, VirtualExecutor(evaluator, evaluator.duration, workers), study, trials=trials)
    seconds = statistics.median(watched.seconds) if watched.seconds else float("nan")
    return trajectory(study.finished, truth, deliberate, ask_seconds=seconds)


def fitting(kind: type[Strategy], options: Mapping[str, Any]) -> dict[str, Any]:
    """Return those of ``options`` that a strategy has."""
    known = nas.strategies.REGISTRY.option_names(kind) or ()
    return {name: value for name, value in options.items() if name in known}


def check_options(strategies: list[str], options: Mapping[str, Any]) -> None:
    """Check that every option exists in at least one strategy.

    Raises:
        UserError: one fits none.
    """
    classes = [nas.strategies.load(name) for name in strategies]
    for name in options:
        if not any(fitting(strategy, {name: None}) for strategy in classes):
            raise UserError(f"unknown strategy option {name!r}: none of {', '.join(strategies)} has it")


def truth_of(job: Job) -> Truth:
    """Return the table of a job, read once, with what is true of it.

    Raises:
        UserError: a name, a limit or the table is wrong.
    """
    return _truth(job.table, job.space, job.goals, job.limits)


@lru_cache(maxsize=4)
def _truth(path: Path, space: str, goals: tuple[str, ...], limits: tuple[str, ...]) -> Truth:
    return Truth.of(_table(path, space), Objectives.parse(goals, limits))


@lru_cache(maxsize=4)
def _table(path: Path, space: str) -> Table:
    return Table.read(path, nas.spaces.load(space)())


class _Watched:
    """A strategy or scheduler whose asks are timed."""

    def __init__(self, source: AskTell) -> None:
        self._source = source
        self.seconds: list[float] = []

    @property
    def trials(self) -> list[Trial]:
        return self._source.trials

    @property
    def begun(self) -> int | Fraction:
        return self._source.begun

    def ask(self) -> Proposal:
        start = time.perf_counter()
        proposal = self._source.ask()
        self.seconds.append(time.perf_counter() - start)
        return proposal

    def tell(self, trial: Trial) -> None:
        self._source.tell(trial)

    def resume(self, proposal: Proposal) -> None:
        self._source.resume(proposal)

    def measure(self, architecture: Architecture) -> dict[str, float]:
        return self._source.measure(architecture)


class VirtualExecutor(Executor):
    """An executor whose workers evaluate at once and report on a virtual clock.

    Args:
        evaluator: evaluates a proposal in no time.
        duration: of its training, in any unit.
        slots: workers.
    """

    def __init__(
        self, evaluator: Evaluator, duration: Callable[[Proposal], float], slots: int = 1
    ) -> None:
        self._slots = slots
        self.now = 0.0  # of the virtual clock, in the unit of ``duration``
        self._evaluator, self._duration = evaluator, duration
        self._running: list[tuple[float, int, Proposal]] = []  # a heap by end

    @property
    def slots(self) -> int:
        """Number of workers."""
        return self._slots

    def submit(self, proposal: Proposal) -> None:
        """Start an evaluation now.

        Raises:
            RuntimeError: every worker is busy.
        """
        if len(self._running) == self._slots:
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
