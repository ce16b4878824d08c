"""The program on a device, as a process of this machine: its interpreter here, or ``ssh``."""

from __future__ import annotations

import contextlib
import json
import subprocess
import threading
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from core.errors import UserError, one_line, short
from deploy.device import agent
from deploy.device.address import Address

Answer = tuple[dict[str, Any], list[bytes]]

# Python 2 understands it too, so that an old version is named. It is one line without ' \ and !, because
# not every shell takes those in quotes. The program follows as a line of standard input.
_BOOTSTRAP = (
    "import sys; "
    'sys.version_info < (3, 8) and sys.exit("Python %d.%d is there, and 3.8 or newer is needed" '
    "% sys.version_info[:2]); "
    "sys.path[:] = [path for path in sys.path if path]; "
    'text = eval(open(0, "rb", 0, closefd=False).readline()); '
    'exec(compile(text, "agent", "exec"), {"__name__": "agent"})'
)
_IDLE_S = 900.0  # after which the program on another machine ends
_LONGEST_S = agent.HANGING_S + 60.0  # of an exchange, after which the device counts as lost
_LOST = 255  # exit status of ssh
_LONGEST_LINE = 1 << 24  # bytes of an answer without its parts
_LARGEST = 1 << 28  # bytes of the parts of an answer
_MOST_NOISE = 1 << 20  # bytes before the greeting
_SECONDS_TO_END = 2.0


class ProgramEndedError(Exception):
    """The program on a device has ended.

    Args:
        status: exit status; that of ssh, if it is on another machine.
        words: its last words, on one line; may be empty.
        lost: the connection to the other machine is lost, or cannot be made.
    """

    def __init__(self, status: int, words: str, lost: bool = False) -> None:
        super().__init__(status, words, lost)
        self.status, self.words, self.lost = status, words, lost


class Program:
    """The program on a device, started now.

    Args:
        address: of the device.

    Raises:
        UserError: ssh is not installed here.
    """

    def __init__(self, address: Address) -> None:
        self._remote = address.host is not None
        command = address.command(_BOOTSTRAP)
        try:
            self._popen = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,  # Ctrl-C ends a search in its own order
            )
        except FileNotFoundError:
            raise UserError(f"{command[0]} is not installed; install OpenSSH's client") from None
        except PermissionError:
            raise UserError(f"{command[0]} cannot be run here: no permission") from None
        self._hung = False
        self._words: deque[bytes] = deque(maxlen=1)
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    @property
    def ended(self) -> bool:
        """True after it has ended."""
        return self._popen.poll() is not None

    def begin(self) -> None:
        """Send the program, and wait for its greeting.

        Raises:
            ProgramEndedError: there is no connection, or no Python that runs it.
        """
        idle_s = _IDLE_S if self._remote else 0.0
        text = Path(agent.__file__).read_bytes() + f"\nserve({idle_s})\n".encode()
        assert self._popen.stdout is not None
        line, size = b"", 0
        with self._limit():
            self._send([repr(text).encode() + b"\n"])
            while size < _MOST_NOISE:
                noise, line = line, self._popen.stdout.readline(_MOST_NOISE)
                if line.endswith(agent.GREETING):
                    return
                if not line:
                    raise self._ended(noise)
                size += len(line)
        raise self._garbled(line)

    def exchange(self, message: Mapping[str, Any], parts: Sequence[bytes]) -> Answer:
        """Send a request, and return the answer and its parts.

        Raises:
            ProgramEndedError: the program has ended.
        """
        header = json.dumps({**message, "sizes": [len(part) for part in parts]}).encode() + b"\n"
        assert self._popen.stdout is not None
        with self._limit():
            self._send([header, *parts])
            line = self._popen.stdout.readline(_LONGEST_LINE)
            if not line.endswith(b"\n"):
                raise self._ended()
            try:
                answer = json.loads(line)
                sizes = answer.pop("sizes")
                if not all(isinstance(size, int) and size >= 0 for size in sizes):
                    raise ValueError("a part has no size")
                if sum(sizes) > _LARGEST:
                    raise ValueError("the parts are too large")
            except (ValueError, AttributeError, KeyError, TypeError, RecursionError):
                raise self._garbled(line) from None
            received = [self._popen.stdout.read(size) for size in sizes]
            if any(len(part) != size for part, size in zip(received, sizes, strict=True)):
                raise self._ended()
        return answer, received

    def end(self) -> None:
        """End the program, and wait for that; it may be in the middle of an exchange."""
        self._popen.terminate()  # the program ends with its connection
        try:
            self._popen.wait(_SECONDS_TO_END)
        except subprocess.TimeoutExpired:
            self._popen.kill()
            self._popen.wait()
        for stream in (self._popen.stdin, self._popen.stdout):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()
        self._listener.join(_SECONDS_TO_END)

    @contextlib.contextmanager
    def _limit(self) -> Iterator[None]:
        """Kill the process where no answer comes."""
        watchdog = threading.Timer(_LONGEST_S, self._kill_hanging)
        watchdog.daemon = True
        watchdog.start()
        try:
            yield
        finally:
            watchdog.cancel()

    def _kill_hanging(self) -> None:
        self._hung = True
        self._popen.kill()

    def _send(self, blocks: Sequence[bytes]) -> None:
        assert self._popen.stdin is not None
        try:
            for block in blocks:
                self._popen.stdin.write(block)
            self._popen.stdin.flush()
        except OSError:
            raise self._ended() from None

    def _ended(self, noise: bytes = b"") -> ProgramEndedError:
        """Return status and last words of the program, which is killed if it goes on.

        Args:
            noise: that it printed instead of an answer; counts as its words if there are no others.
        """
        try:
            status = self._popen.wait(_SECONDS_TO_END)
        except subprocess.TimeoutExpired:
            self._popen.kill()
            status = self._popen.wait()
        self._listener.join(_SECONDS_TO_END)
        words = (self._words[-1] if self._words else b"").decode(errors="replace").strip()
        if not words and noise:
            words = f"it prints {short(noise.decode(errors='replace').strip())} and does not answer"
        killed = status < 0 and not self._hung  # ssh was, by others
        lost = self._remote and (status == _LOST or killed)
        return ProgramEndedError(status, one_line(words) if words else "", lost)

    def _garbled(self, line: bytes) -> ProgramEndedError:
        self._popen.kill()
        words = f"it answers with {short(line[:1000].decode(errors='replace').strip())}"
        return ProgramEndedError(self._popen.wait(), words)

    def _listen(self) -> None:
        """Keep the last line of the standard error output."""
        assert self._popen.stderr is not None
        with self._popen.stderr as stream:
            while line := stream.readline(_LONGEST_LINE):
                if line.strip():
                    self._words.append(line)
