"""How long trials take, and whether the time that is left should go to confirmations."""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import fmean

_SHARE = 0.2  # of the time that confirmations may always take


class Pace:
    """The clock of a search that ends after some time.

    Args:
        timeout: seconds from :meth:`start` on, after which nothing new is started; ``None``: never ends.
        clock: seconds.
    """

    def __init__(self, timeout: float | None, clock: Callable[[], float] = time.monotonic) -> None:
        self._timeout, self._clock = timeout, clock
        self._begun: float | None = None
        self._running: dict[int, float] = {}  # when each trial under way was asked for
        self._full: list[float] = []  # seconds of a full training, as each trial would have it
        self._slots = 1

    def start(self) -> None:
        """The search begins; only the first call counts."""
        if self._begun is None:
            self._begun = self._clock()

    def asked(self, number: int) -> None:
        """A trial begins."""
        self._running[number] = self._clock()
        self._slots = max(self._slots, len(self._running))

    def told(self, number: int, part: float | None) -> None:
        """A trial ended.

        Args:
            number: its own; those that were not asked for here are not timed.
            part: of a full training that it was; ``None`` where it failed.
        """
        asked = self._running.pop(number, None)
        if asked is not None and part is not None:
            self._full.append((self._clock() - asked) / part)

    def ends_with(self, confirm: int, trials: int) -> bool:
        """Whether another new network would end in the time that is kept for confirmations.

        Kept is what ``confirm`` full trainings take, but no more than their share of the trials, or a
        fifth where that is more.

        Args:
            confirm: wanted confirmations.
            trials: of the whole study, confirmations included.
        """
        if self._timeout is None or self._begun is None or not self._full or not confirm:
            return False
        each = fmean(self._full)
        most = self._timeout * max(confirm / trials, _SHARE)
        kept = min(confirm * each / self._slots, most)
        return self._clock() - self._begun + each > self._timeout - kept
