"""Connection to the program on a device, which outlives losses of the network."""

from __future__ import annotations

import atexit
import contextlib
import json
import logging
import subprocess
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from core.errors import UserError, one_line
from deploy.device import agent
from deploy.device.address import Address

Answer = tuple[dict[str, Any], list[bytes]]

_BOOTSTRAP = """
import os, sys
if sys.version_info < (3, 8): sys.exit("Python %d.%d is there, and 3.8 or newer is needed" % sys.version_info[:2])
sys.path[:] = [path for path in sys.path if path]
text = b""
while len(text) < {size}:
    block = os.read(0, {size} - len(text))
    if not block: sys.exit(0)
    text += block
exec(compile(text, "agent", "exec"), {{"__name__": "agent"}})
"""  # noqa: E501  (in the words of Python 2 as well, to name an old version)
_IDLE_S = 900.0  # after which the program on another machine ends
_PAUSES_S = (1.0, 2.0, 4.0, 8.0, 16.0, 30.0)  # between tries to connect again
_LOST, _NOT_FOUND = 255, 127  # exit statuses of ssh and of a shell
_LONGEST_LINE = 1 << 24  # bytes of an answer without its parts
_LARGEST_PART = 1 << 28  # bytes
_CRASHES = 2  # of the program, until the model counts as their cause
_SECONDS_TO_END = 2.0

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
        self._process: _Process | None = None
        try:
            self.opened = self._connect()
        except _EndedError as end:
            raise UserError(self._refusal(end)) from None
        atexit.register(self.close)

    def request(self, message: Mapping[str, Any], parts: Sequence[bytes] = ()) -> Answer:
        """Return the answer to a request, and its parts.

        Raises:
            ModelError: the runtime cannot open or run a model, or crashes with it.
            UserError: the device is another one after a lost connection.
        """
        crashes = 0
        with self._lock:
            while True:
                try:
                    answer = self._connected().exchange(message, parts)
                    break
                except _EndedError as end:
                    self._drop()
                    if end.status == _LOST and self.address.host is not None:
                        self._wait(end)
                    elif end.status != 0:  # 0: it had nothing to do for long
                        crashes += 1
                        if crashes == _CRASHES:
                            reason = f"its runtime crashed (exit status {end.status}) {end.words}"
                            raise ModelError(reason.rstrip()) from None
        if "error" in answer[0]:
            raise ModelError(one_line(str(answer[0]["error"])))
        return answer

    def close(self) -> None:
        """End the program on the device."""
        self._drop()

    def _connected(self) -> _Process:
        if self._process is None and self._connect() != self.opened:
            raise UserError(f"{self.address.name} is another machine than before, or has another runtime")
        assert self._process is not None
        return self._process

    def _connect(self) -> dict[str, Any]:
        """Start the program, and return its answer to the opening."""
        process = _Process(self.address)
        try:
            answer, _ = process.exchange(*self._opening)
        except BaseException:
            process.end()
            raise
        if "error" in answer:
            process.end()
            raise UserError(f"{self.address.name}: {one_line(str(answer['error']))}")
        self._process = process
        return answer

    def _wait(self, end: _EndedError) -> None:
        """Wait until the device answers again."""
        name, began = self.address.name, time.monotonic()
        log.warning("%s does not answer (%s): measuring waits for it", name, end.words or "no reason")
        pauses = iter(_PAUSES_S)
        while True:
            time.sleep(next(pauses, _PAUSES_S[-1]))
            try:
                self._connected()
            except _EndedError as again:
                if again.status != _LOST:
                    raise UserError(self._refusal(again)) from None
            else:
                log.warning("%s answers again after %.0f s", name, time.monotonic() - began)
                return

    def _drop(self) -> None:
        if self._process is not None:
            self._process.end()
            self._process = None

    def _refusal(self, end: _EndedError) -> str:
        name, python = self.address.name, self.address.python
        if end.status == _NOT_FOUND:
            return (
                f"{name} has no {python}; install Python 3.8 or newer there, or give its path, as in "
                f"ssh:{name}/usr/bin/python3"
            )
        if end.status == _LOST and self.address.host is not None:
            return f"{name} cannot be reached: {end.words or 'ssh gives no reason'}"
        return f"{name}: {end.words or f'{python} ended with exit status {end.status}'}"


class _EndedError(Exception):
    """The program on a device has ended.

    Args:
        status: exit status; that of ssh, if it is on another machine.
        words: last line of its standard error output, shortened.
    """

    def __init__(self, status: int, words: str) -> None:
        super().__init__(status, words)
        self.status, self.words = status, words


class _Process:
    """The program on a device, started now.

    Args:
        address: of the device.
    """

    def __init__(self, address: Address) -> None:
        idle_s = 0.0 if address.host is None else _IDLE_S
        text = Path(agent.__file__).read_bytes() + f"\nserve({idle_s})\n".encode()
        try:
            self._popen = subprocess.Popen(
                address.command(_BOOTSTRAP.format(size=len(text))),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,  # Ctrl-C ends a search in its own order
            )
        except FileNotFoundError as error:
            raise UserError(f"{error.filename} is not installed; install OpenSSH's client") from None
        self._words: deque[bytes] = deque(maxlen=1)
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()
        self._send([text])

    def exchange(self, message: Mapping[str, Any], parts: Sequence[bytes]) -> Answer:
        """Send a request, and return the answer and its parts.

        Raises:
            _EndedError: the program has ended.
        """
        header = json.dumps({**message, "sizes": [len(part) for part in parts]}).encode() + b"\n"
        self._send([header, *parts])
        assert self._popen.stdout is not None
        line = self._popen.stdout.readline(_LONGEST_LINE)
        try:
            answer = json.loads(line)
            sizes = answer.pop("sizes")
            if not all(isinstance(size, int) and 0 <= size <= _LARGEST_PART for size in sizes):
                raise ValueError("a part has no size")
        except (ValueError, AttributeError, KeyError, TypeError):
            raise self._ended() from None
        received = [self._popen.stdout.read(size) for size in sizes]
        if any(len(part) != size for part, size in zip(received, sizes, strict=True)):
            raise self._ended()
        return answer, received

    def end(self) -> None:
        """End the program, and wait for that."""
        for stream in (self._popen.stdin, self._popen.stdout):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()
        try:
            self._popen.wait(_SECONDS_TO_END)
        except subprocess.TimeoutExpired:
            self._popen.kill()
            self._popen.wait()

    def _send(self, blocks: Sequence[bytes]) -> None:
        assert self._popen.stdin is not None
        try:
            for block in blocks:
                self._popen.stdin.write(block)
            self._popen.stdin.flush()
        except OSError:
            raise self._ended() from None

    def _ended(self) -> _EndedError:
        """Return the status and the last words of the program, which is killed if it goes on."""
        try:
            status = self._popen.wait(_SECONDS_TO_END)
        except subprocess.TimeoutExpired:
            self._popen.kill()
            status = self._popen.wait()
        self._listener.join(_SECONDS_TO_END)
        words = self._words[-1].decode(errors="replace") if self._words else ""
        return _EndedError(status, one_line(words) if words.strip() else "")

    def _listen(self) -> None:
        """Keep the last line of the standard error output."""
        assert self._popen.stderr is not None
        with self._popen.stderr as stream:
            for line in stream:
                if line.strip():
                    self._words.append(line)
