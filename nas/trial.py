"""A network to train (proposal) and what came of it (trial)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

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
        """Network and length of training: what trainings that can be averaged share."""
        return self.architecture.key, self.epochs

    def complete(self, metrics: Mapping[str, float]) -> Trial:
        """The trial of a training that ended with ``metrics``."""
        return Trial(self, {name: float(value) for name, value in metrics.items()}, None)

    def fail(self, error: str) -> Trial:
        """The trial of a training that did not end; ``error`` is one line."""
        return Trial(self, None, error)


@dataclass(frozen=True)
class Trial:
    """A proposal with its outcome: ``metrics`` when it completed, ``error`` when it failed."""

    proposal: Proposal
    metrics: Mapping[str, float] | None
    error: str | None = None

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

    @property
    def completed(self) -> bool:
        """Whether there are metrics."""
        return self.metrics is not None


def merged(trials: Iterable[Trial]) -> list[Trial]:
    """One completed trial per network and length of training, in the order of the first of each.

    Trainings of one network differ in their seeds; together they are the first of them, with the mean of
    every metric that all have.
    """
    groups: dict[tuple[str, int | None], list[Trial]] = {}
    for trial in sorted(trials, key=lambda trial: trial.number):
        if trial.completed:
            groups.setdefault(trial.proposal.group, []).append(trial)
    return [_mean(group) if len(group) > 1 else group[0] for group in groups.values()]


def longest(trials: Sequence[Trial]) -> list[Trial]:
    """Those of the longest training; ``epochs`` of ``None``, the evaluator's own length, is longest."""
    lengths = [math.inf if t.proposal.epochs is None else t.proposal.epochs for t in trials]
    most = max(lengths, default=math.inf)
    return [trial for trial, length in zip(trials, lengths, strict=True) if length == most]


def _mean(trials: list[Trial]) -> Trial:
    found = [trial.metrics or {} for trial in trials]
    shared = [name for name in found[0] if all(name in metrics for metrics in found)]
    means = {name: sum(metrics[name] for metrics in found) / len(found) for name in shared}
    return replace(trials[0], metrics=means)
