"""Progress events of the Python API."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nas.objectives import Objectives
    from nas.trial import Proposal, Trial
    from training.fit import Progress

#: Name of the training of a search's current trial, for :meth:`Listener.training`.
TRIAL = "trial"


@dataclass(frozen=True)
class SearchPlan:
    """The extent of a search, known before its first trial.

    Attributes:
        objectives: goals and limits.
        known: finished trials of earlier runs of the study.
        trials: budget, in full trainings, earlier ones included.
        share: the part of a full training that a proposal costs.
        timeout: seconds after which no trial starts; ``None``: unlimited.
    """

    objectives: Objectives
    known: tuple[Trial, ...]
    trials: int
    share: Callable[[Proposal], int | Fraction]
    timeout: float | None


class Listener:
    """Receiver of progress events; every method does nothing unless a subclass overrides it."""

    def note(self, message: str) -> None:
        """Receive one line about a decision or a finished step."""

    def warn(self, message: str) -> None:
        """Receive one line about what may be wrong."""

    def count(self, work: str, done: int, total: int) -> None:
        """Receive the progress of counted work, such as decoding images.

        Args:
            work: name of the work.
            done: finished items.
            total: all items.
        """

    def training(self, work: str, progress: Progress) -> None:
        """Receive the progress of a training after a step or an epoch.

        Args:
            work: name of the training, such as ``fine-tuning tf_efficientnet_lite0``.
            progress: epoch, step, images per second, validation F1.
        """

    def search_started(self, plan: SearchPlan) -> None:
        """Receive the extent of a search before its first trial."""

    def running(self, places: Mapping[str, Sequence[int]], waiting: int) -> None:
        """Receive which trials run where, after a change; from executors of several machines.

        Args:
            places: name of a node to the numbers of its trials; idle nodes have none.
            waiting: number of trials that no node has begun.
        """

    def trial_started(self, proposal: Proposal) -> None:
        """Receive a proposal before it is evaluated."""

    def trial_finished(self, trial: Trial) -> None:
        """Receive a trial after it was stored."""
