"""Progress events of the Python API."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from core.config import SearchConfig, StudentConfig
    from minnow.run_directory import Run
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


def log_warning(message: str) -> None:
    """Log a warning where there is no listener: it stays in its own process."""
    logging.getLogger("minnow").warning(message)


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

    def started(self, stage: str, run: Path, config: SearchConfig | StudentConfig) -> None:
        """Receive the settings of a stage before its work; again where more of them are decided later.

        Args:
            stage: ``search``, or the folder of a student: ``student``, ``refit``, ``qat``.
            run: run directory, which is locked.
            config: settings of the stage.
        """

    def training(self, work: str, progress: Progress) -> None:
        """Receive the progress of a training after a step or an epoch.

        Args:
            work: name of the training: what is trained, then its own name, such as ``teacher
                tf_efficientnet_lite0``, ``supernet``, ``student`` or ``student seed 1 (2 of 3)``.
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

    def search_ended(self, run: Run) -> None:
        """Receive a search once its results are written; also an interrupted one that has trials."""

    def student_finished(self, stage: str, folder: Path) -> None:
        """Receive the folder of a student once it is trained.

        Args:
            stage: as of :meth:`started`.
            folder: with ``metrics.json``.
        """


class Relay(Listener):
    """Listener that passes every event on to another one.

    Args:
        receiver: the other one.
    """

    def __init__(self, receiver: Listener) -> None:
        self.receiver = receiver

    def note(self, message: str) -> None:
        """Pass the line on."""
        self.receiver.note(message)

    def warn(self, message: str) -> None:
        """Pass the line on."""
        self.receiver.warn(message)

    def count(self, work: str, done: int, total: int) -> None:
        """Pass the progress on."""
        self.receiver.count(work, done, total)

    def started(self, stage: str, run: Path, config: SearchConfig | StudentConfig) -> None:
        """Pass the settings on."""
        self.receiver.started(stage, run, config)

    def training(self, work: str, progress: Progress) -> None:
        """Pass the progress on."""
        self.receiver.training(work, progress)

    def search_started(self, plan: SearchPlan) -> None:
        """Pass the extent on."""
        self.receiver.search_started(plan)

    def running(self, places: Mapping[str, Sequence[int]], waiting: int) -> None:
        """Pass the places on."""
        self.receiver.running(places, waiting)

    def trial_started(self, proposal: Proposal) -> None:
        """Pass the proposal on."""
        self.receiver.trial_started(proposal)

    def trial_finished(self, trial: Trial) -> None:
        """Pass the trial on."""
        self.receiver.trial_finished(trial)

    def search_ended(self, run: Run) -> None:
        """Pass the search on."""
        self.receiver.search_ended(run)

    def student_finished(self, stage: str, folder: Path) -> None:
        """Pass the folder on."""
        self.receiver.student_finished(stage, folder)
