"""Addresses of devices: this machine, or another one that the system's ``ssh`` reaches."""

from __future__ import annotations

import re
import shlex
import sys
from dataclasses import dataclass

from core.errors import UserError, short

_SSH = re.compile(
    r"ssh:(?P<host>(?:[A-Za-z0-9_][\w.-]*@)?(?:[A-Za-z0-9][\w.-]*|\[[0-9A-Fa-f:]+\]))"
    r"(?::(?P<port>\d{1,5}))?(?P<python>/[\w./+-]+)?"
)
_OPTIONS = (
    "BatchMode=yes",  # a question could not be answered
    "ConnectTimeout=15",
    "ServerAliveInterval=5",
    "ServerAliveCountMax=3",
)


@dataclass(frozen=True)
class Address:
    """A device and the Python interpreter there.

    Attributes:
        host: ``user@host`` or a name of the user's ssh configuration; ``None``: this machine.
        port: of its ssh server; ``None``: as ssh is configured.
        python: path of the interpreter.
    """

    host: str | None = None
    port: int | None = None
    python: str = sys.executable

    @classmethod
    def parse(cls, text: str) -> Address:
        """Return the device of ``ssh:[user@]host[:port][/path/of/python3]``.

        Raises:
            UserError: the text is no such address.
        """
        match = _SSH.fullmatch(text)
        if match is None or not 0 < int(match["port"] or 22) < 1 << 16:
            raise UserError(
                f"{short(text)} is no device; write it as ssh:user@host, ssh:user@host:2222 or "
                "ssh:user@host/home/user/venv/bin/python3"
            )
        port = None if match["port"] is None else int(match["port"])
        return cls(match["host"].replace("[", "").replace("]", ""), port, match["python"] or "python3")

    @property
    def name(self) -> str:
        """The device in messages: ``user@host``, or ``this machine``."""
        return "this machine" if self.host is None else self.host

    def command(self, code: str) -> list[str]:
        """Return the command that runs Python code on the device, with standard input and output."""
        if self.host is None:
            return [self.python, "-u", "-c", code]
        options = [argument for option in _OPTIONS for argument in ("-o", option)]
        port = [] if self.port is None else ["-p", str(self.port)]
        # The shell stays, and tells a crash of the interpreter from a lost connection (255).
        remote = shlex.join([self.python, "-u", "-c", code]) + "; exit"
        return ["ssh", "-T", *options, *port, "--", self.host, remote]
