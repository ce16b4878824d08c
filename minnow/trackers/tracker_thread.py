"""A tracker in a thread of its own, so that a slow or lost service never holds up a training."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from queue import SimpleQueue

from core.errors import UserError, one_line
from minnow.trackers.tracker import Status, Tracker

_TO_OPEN, _TO_CLOSE = 60.0, 60.0  # seconds that a service may take
Call = Callable[[Tracker], None]


class TrackerThread:
    """Calls of one tracker, in order; the first that fails is the last.

    Args:
        kind: class of the tracker.
        spec: the tracker as the user typed it, for messages.
        place: as of :class:`minnow.trackers.tracker.Tracker`.
        run: likewise.
        identifier: likewise.

    Attributes:
        failure: one line about the call that failed, if one did.

    Raises:
        UserError: the service cannot be used, or does not answer.
    """

    def __init__(
        self, kind: type[Tracker], spec: str, place: str | None, run: Path, identifier: str | None
    ) -> None:
        self.spec, self.failure = spec, ""
        self._calls: SimpleQueue[Call | None] = SimpleQueue()
        self._opened = threading.Event()
        self._error: Exception | None = None
        arguments = (kind, place, run, identifier)
        self._thread = threading.Thread(
            target=self._work, args=arguments, name=f"minnow-{spec}", daemon=True
        )
        self._thread.start()
        if not self._opened.wait(_TO_OPEN):
            self._calls.put(None)
            raise UserError(
                f"tracker {spec}: no answer in {_TO_OPEN:.0f} s; start it, or leave the tracker out"
            )
        if isinstance(self._error, UserError):
            raise self._error
        if self._error is not None:
            reason = f"{type(self._error).__name__}: {one_line(self._error)}"
            raise UserError(
                f"tracker {spec} cannot be used: {reason}; correct it, or leave the tracker out"
            )

    def send(self, call: Call) -> None:
        """Have the tracker called soon; nothing happens after a failure."""
        self._calls.put(call)

    def close(self, status: Status) -> None:
        """Let the calls that wait be done, and end the recorded run."""
        self._calls.put(lambda tracker: tracker.close(status))
        self._calls.put(None)
        self._thread.join(_TO_CLOSE)
        if self._thread.is_alive():
            self.failure = f"no answer in {_TO_CLOSE:.0f} s"

    def _work(self, kind: type[Tracker], place: str | None, run: Path, identifier: str | None) -> None:
        try:
            tracker = kind(place, run, identifier)
            self.identifier, self.location = tracker.identifier, tracker.location
        except Exception as error:
            self._error = error
            return
        finally:
            self._opened.set()
        while (call := self._calls.get()) is not None:
            if self.failure:
                continue
            try:
                call(tracker)
            except Exception as error:  # whatever a service or its library raises
                self.failure = f"{type(error).__name__}: {one_line(error)}"
