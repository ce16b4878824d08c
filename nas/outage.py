"""Retries while the storage of a study cannot be reached."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from core.errors import UserError
from nas.postgresql import StorageAway
from nas.storage import Place

PATIENCE_S = 600.0  # how long a storage may be away
PAUSES_S = (0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0)  # between two tries; the last one is repeated

Result = TypeVar("Result")


class Outage:
    """Repeats the operations on a storage that it interrupts, until it can be reached again.

    Args:
        place: of the storage.
        warn: callback for one line when the storage goes away, and one when it is back.
    """

    def __init__(self, place: Place, warn: Callable[[str], None]) -> None:
        self._place, self._warn = place, warn
        self._end: UserError | None = None

    def bridge(self, work: Callable[[bool], Result]) -> Result:
        """Return what ``work`` returns, and repeat it while the storage is away.

        Args:
            work: receives whether an earlier try was interrupted, which may have had its effect or not.

        Raises:
            UserError: the storage stayed away for :data:`PATIENCE_S`, now or in an earlier call.
        """
        if self._end is not None:
            raise self._end
        start, tries = 0.0, 0
        while True:
            try:
                result = work(tries > 0)
            except StorageAway as error:
                start = start if tries else time.monotonic()
                self._wait(error, tries, time.monotonic() - start)
                tries += 1
            else:
                if tries:
                    seconds = time.monotonic() - start
                    self._warn(f"{self._place} is back after {seconds:.0f} s; the search goes on")
                return result

    def _wait(self, error: StorageAway, tries: int, seconds: float) -> None:
        """Pause before the next try.

        Raises:
            UserError: the storage has been away for too long.
        """
        reason = self._place.reason(error)
        if not tries:
            self._warn(f"{self._place} is away ({reason}); waiting up to {PATIENCE_S:.0f} s for it")
        if seconds >= PATIENCE_S:
            self._end = UserError(
                f"{self._place} stayed away for {seconds:.0f} s ({reason}); resume the search when it is "
                "back"
            )
            raise self._end from error
        pause = PAUSES_S[min(tries, len(PAUSES_S) - 1)]
        time.sleep(min(pause, max(PATIENCE_S - seconds, 0.0)))
