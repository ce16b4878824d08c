"""Progress events of the Python API."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nas.trial import Proposal, Trial
    from training.fit import Progress


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

    def trial_started(self, proposal: Proposal) -> None:
        """Receive a proposal before it is evaluated."""

    def trial_finished(self, trial: Trial) -> None:
        """Receive a trial after it was stored."""
