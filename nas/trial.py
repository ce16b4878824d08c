"""A network to train (proposal), and the same with its outcome (trial)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from nas.architecture import Architecture


@dataclass(frozen=True)
class Proposal:
    """A network that should be trained.

    Attributes:
        number: 0, 1, 2, ... within the study.
        choices: canonical point of the space, one option index per decision.
        architecture: the network at that point.
        seed: of initialisation, order and augmentation of this training.
        epochs: how long to train; ``None`` leaves it to the evaluator.
        parent: number of the trial whose training this one continues, if any.
    """

    number: int
    choices: tuple[int, ...]
    architecture: Architecture
    seed: int
    epochs: int | None = None
    parent: int | None = None

    @property
    def group(self) -> tuple[str, int | None]:
        """Network and length of training, which trainings must share to be averaged."""
        return self.architecture.key, self.epochs

    def complete(self, metrics: Mapping[str, float]) -> Trial:
        """Return the trial of a training that ended with ``metrics``."""
        return Trial(self, {name: float(value) for name, value in metrics.items()}, None)

    def fail(self, error: str) -> Trial:
        """Return the trial of a training that failed; ``error`` is one line."""
        return Trial(self, None, error)


@dataclass(frozen=True)
class Execution:
    """Node and time of a trial.

    Attributes:
        worker: name of the process or node.
        started: seconds since 1970, by the clock of the searching machine.
        ended: likewise.
    """

    worker: str
    started: float
    ended: float


@dataclass(frozen=True)
class Trial:
    """A proposal with its outcome: ``metrics`` when it completed, ``error`` when it failed.

    ``execution`` is where and when it ran, where that is known; trials are equal whatever it is.
    """

    proposal: Proposal
    metrics: Mapping[str, float] | None
    error: str | None = None
    execution: Execution | None = field(default=None, compare=False)

    @property
    def number(self) -> int:
        """Number within the study."""
        return self.proposal.number

    @property
    def choices(self) -> tuple[int, ...]:
        """Canonical point of the space."""
        return self.proposal.choices

    @property
    def architecture(self) -> Architecture:
        """The network."""
        return self.proposal.architecture

    def ran(self, execution: Execution) -> Trial:
        """Return the same trial with where and when it ran."""
        return replace(self, execution=execution)

    @property
    def length(self) -> float:
        """Epochs of the training; infinite where the evaluator decides, so that this is the longest."""
        return math.inf if self.proposal.epochs is None else self.proposal.epochs

    @property
    def completed(self) -> bool:
        """True if the training ended with metrics."""
        return self.metrics is not None


def trainings(trials: Iterable[Trial]) -> dict[tuple[str, int | None], list[Trial]]:
    """Return the completed trials by :attr:`Proposal.group`, each group by number."""
    groups: dict[tuple[str, int | None], list[Trial]] = {}
    for trial in sorted(trials, key=lambda trial: trial.number):
        if trial.completed:
            groups.setdefault(trial.proposal.group, []).append(trial)
    return groups


def merged(trials: Iterable[Trial]) -> list[Trial]:
    """Return one trial per network and length of training, in the order of the first of each."""
    return [mean(group) for group in trainings(trials).values()]


def mean(trials: Sequence[Trial]) -> Trial:
    """Return the first trial with the mean of every metric that all have.

    Args:
        trials: completed trainings of one network for as long, which differ in their seeds.
    """
    if len(trials) == 1:
        return trials[0]
    measured = [trial.metrics or {} for trial in trials]
    shared = [name for name in measured[0] if all(name in metrics for metrics in measured)]
    means = {name: sum(metrics[name] for metrics in measured) / len(measured) for name in shared}
    return replace(trials[0], metrics=means)


def longest(trials: Sequence[Trial]) -> list[Trial]:
    """Return the trials of the longest training."""
    most = max((trial.length for trial in trials), default=math.inf)
    return [trial for trial in trials if trial.length == most]
