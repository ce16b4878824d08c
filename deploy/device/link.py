"""Connection to the program on a device, which is made again when it was lost."""

from __future__ import annotations

import atexit
import logging
import shlex
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any

from core.errors import UserError, one_line
from deploy.device import agent
from deploy.device.address import Address
from deploy.device.program import Answer, Program, ProgramEndedError

_PAUSES_S = (1.0, 2.0, 4.0, 8.0, 16.0, 30.0)  # between tries to connect again
_NOT_FOUND = 127  # exit status of a shell
_CRASHES = 2  # of the program, until the model counts as their cause

log = logging.getLogger(__name__)


class ModelError(UserError):
    """A runtime cannot convert, open or run a model."""


class Link:
    """Requests to the program on a device, and its answers.

    A lost connection is made again, for as long as it takes, and the request repeated.

    Args:
        address: of the device.
        message: of the request ``open``, the first on every connection.
        parts: of that request.

    Raises:
        UserError: there is no such device, Python or runtime; says what to do.
    """

    def __init__(self, address: Address, message: Mapping[str, Any], parts: Sequence[bytes]) -> None:
        self.address = address
        self._opening = {"do": "open", **message}, list(parts)
        self._lock = threading.Lock()
        self._program: Program | None
        try:
            self._program, self.opened = self._connect()
        except ProgramEndedError as end:
            raise UserError(self._refusal(end)) from None
        atexit.register(self.close)

    def request(self, message: Mapping[str, Any], parts: Sequence[bytes] = ()) -> Answer:
        """Return the answer to a request, and its parts.

        Raises:
            ModelError: the runtime cannot open or run a model, or crashes with it.
            UserError: after a lost connection, the device is another one, or its Python is gone.
        """
        crashes, lost = 0, None
        with self._lock:
            while True:
                program, began = self._connected(lost), time.monotonic()
                try:
                    answer = program.exchange(message, parts)
                    break
                except ProgramEndedError as end:
                    self._drop()
                    lost = end if end.lost else None
                    if lost is None and time.monotonic() - began >= agent.HANGING_S:
                        raise ModelError(f"its runtime gave no answer for {agent.HANGING_S} s") from None
                    crashes += lost is None
                    if crashes == _CRASHES:
                        reason = f"its runtime crashed (exit status {end.status}) {end.words}"
                        raise ModelError(reason.rstrip()) from None
                except BaseException:  # Ctrl-C, whose next request must not get the answer to this one
                    self._drop()
                    raise
        if "error" in answer[0]:
            raise ModelError(one_line(str(answer[0]["error"])))
        return answer

    def close(self) -> None:
        """End the program on the device; the next request starts it again."""
        self._drop()

    def _connected(self, lost: ProgramEndedError | None) -> Program:
        """Return the program, started again where it has ended, once the device answers.

        Args:
            lost: why the connection was lost just now.
        """
        if self._program is not None and self._program.ended:
            self._drop()
        name, began, pauses = self.address.name, time.monotonic(), iter(_PAUSES_S)
        reasons: set[str] = set()
        while self._program is None:
            if lost is not None:
                reason = lost.words or "ssh gives no reason"
                if reason not in reasons:
                    log.warning("%s does not answer (%s): measuring waits for it", name, reason)
                reasons.add(reason)
                time.sleep(next(pauses, _PAUSES_S[-1]))
            try:
                program, opened = self._connect()
            except ProgramEndedError as end:
                if not end.lost:
                    raise UserError(self._refusal(end)) from None
                lost = end
                continue
            if opened != self.opened:
                program.end()
                raise UserError(f"{name} is another machine than before, or has another runtime")
            self._program = program
        if reasons:
            log.warning("%s answers again after %.0f s", name, time.monotonic() - began)
        return self._program

    def _connect(self) -> tuple[Program, dict[str, Any]]:
        """Start the program, and return it with its answer to the opening."""
        program = Program(self.address)
        try:
            program.begin()
            answer, _ = program.exchange(*self._opening)
            if "error" in answer:
                raise UserError(f"{self.address.name}: {one_line(str(answer['error']))}")
        except BaseException:
            program.end()
            raise
        return program, answer

    def _drop(self) -> None:
        program, self._program = self._program, None
        if program is not None:
            program.end()

    def _refusal(self, end: ProgramEndedError) -> str:
        name, python = self.address.name, self.address.python
        if end.lost:
            reason = end.words.rstrip(".") or "ssh gives no reason"
            if "Permission denied" in reason:
                remedy = f"log in with a key and no password ({shlex.join(self.address.key_copy)})"
                return f"{name} cannot be reached: {reason}; {remedy}"
            return f"{name} cannot be reached: {reason}; see that this works: {self.address.login}"
        if end.status == _NOT_FOUND:
            return (
                f"{name} has no {python}; install Python 3.8 or newer there, or write its path behind "
                "the host, as in ssh:HOST/usr/bin/python3"
            )
        return f"{name}: {end.words or f'{python} ended with exit status {end.status}'}"
