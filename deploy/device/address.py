"""Addresses of devices: this machine, or another one that the system's ``ssh`` reaches."""

from __future__ import annotations

import re
import shlex
import sys
from dataclasses import dataclass

from core.errors import UserError, short

_SSH = re.compile(
    r"ssh:(?P<host>(?:[A-Za-z0-9_][\w.-]*@)?(?:[A-Za-z0-9][\w.-]*|\[[0-9A-Fa-f:]+(?:%\w+)?\]))"
    r"(?::(?P<port>\d{1,5}))?(?P<python>/[\w./+-]+)?"
)
_OPTIONS = (
    "BatchMode=yes",  # a question could not be answered
    "ConnectTimeout=15",
    "ServerAliveInterval=5",
    "ServerAliveCountMax=3",
    "LogLevel=ERROR",  # without banners, so that the last line is the reason
    "ControlMaster=no",  # a shared connection would outlive this one
    "ClearAllForwardings=yes",
    "RemoteCommand=none",
)
# The shell outlives the program, so that a crash of the program differs from a lost connection (255). Its
# own remark about a crash is dropped.
_SCRIPT = "exec 3>&2 2>/dev/null; (exec {program} 2>&3 3>&-); exit"


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

    @property
    def login(self) -> str:
        """The command that a user would log in with."""
        return shlex.join(["ssh", "-o", "BatchMode=yes", *self._port, self.host or "localhost"])

    @property
    def key_copy(self) -> list[str]:
        """The command with which a user lets the device know a key, so that it asks for no password."""
        return ["ssh-copy-id", *self._port, self.host or "localhost"]

    def command(self, code: str) -> list[str]:
        """Return the command that runs Python code on the device, with standard input and output."""
        program = [self.python, "-B", "-u", "-c", code]  # -B: no files of compiled modules
        if self.host is None:
            return program
        options = [argument for option in _OPTIONS for argument in ("-o", option)]
        remote = shlex.join(["sh", "-c", _SCRIPT.format(program=shlex.join(program))])
        return ["ssh", "-T", *options, *self._port, "--", self.host, remote]

    @property
    def _port(self) -> list[str]:
        return [] if self.port is None else ["-p", str(self.port)]
