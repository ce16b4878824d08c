"""Contract of executors: the work of a study, the resources of a trial, and a watcher."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from nas.search import Evaluator
from nas.trial import Proposal

#: Evaluates a proposal on another machine: (proposal, checkpoint to continue) to (metrics, checkpoint).
DistantEvaluator = Callable[[Proposal, bytes | None], tuple[Mapping[str, float], bytes | None]]


class Work(ABC):
    """Evaluators of a study's proposals: for this process, other processes and other machines."""

    @abstractmethod
    def here(self) -> Evaluator:
        """Return the evaluator of this process, which reports its progress."""

    @abstractmethod
    def nearby(self) -> Callable[[], Evaluator]:
        """Return a picklable factory for other processes of this machine, which share its disk."""

    @abstractmethod
    def distant(self) -> Callable[[], DistantEvaluator]:
        """Return a picklable factory for machines that share nothing: it holds all that is read.

        Arrays in it are plain, so that a store of objects can map them into memory.
        """

    def checkpoint(self, proposal: Proposal) -> bytes | None:
        """Return the checkpoint that a distant evaluation continues; ``None``: it begins anew."""
        return None

    def keep(self, proposal: Proposal, checkpoint: bytes) -> None:  # noqa: B027  (there may be none)
        """Keep the checkpoint that a distant evaluation ended with."""

    def completed(self, proposal: Proposal, metrics: Mapping[str, float]) -> Mapping[str, float]:
        """Add what is measured in this process to the metrics of a distant evaluation.

        Raises:
            EvaluationError: it cannot be measured.
        """
        return metrics


@dataclass(frozen=True)
class Resources:
    """Limits on the resources of trials.

    Attributes:
        workers: trials at a time; ``None``: as the executor sees fit.
        cpus: cores of a trial; ``None``: as the executor sees fit.
        gpus: GPUs of a trial; a fraction shares one.
        timeout: seconds after which a trial is ended and fails; ``None``: never.
    """

    workers: int | None = None
    cpus: float | None = None
    gpus: float = 0.0
    timeout: float | None = None


@dataclass(frozen=True)
class Placement:
    """Executor and number of workers for several trainings.

    Attributes:
        executor: by name, see :data:`nas.executors.REGISTRY`.
        workers: trainings at a time; ``None``: one here, or what the nodes have room for.
    """

    executor: str = "local"
    workers: int | None = None

    @property
    def here(self) -> bool:
        """True if they run one after the other in this process."""
        return self.executor == "local" and self.workers in (None, 1)


HERE = Placement()


class Watcher(Protocol):
    """Receiver of what an executor has to say."""

    def note(self, message: str) -> None:
        """Receive one line about a decision or a change."""
        ...

    def warn(self, message: str) -> None:
        """Receive one line about what may be wrong."""
        ...

    def running(self, places: Mapping[str, Sequence[int]], waiting: int) -> None:
        """Receive which trials run where, after a change.

        Args:
            places: name of a node to the numbers of its trials; idle nodes have none.
            waiting: number of trials that no node has begun.
        """
        ...
