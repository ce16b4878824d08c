"""An ssh server of 127.0.0.1 with keys of its own, and connections to the program on a device."""

from __future__ import annotations

import contextlib
import getpass
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from uuid import uuid4

import numpy as np
import psutil
import pytest

from deploy.device import link
from deploy.device.address import Address
from deploy.device.link import Link

RUNNER = Path(__file__).parent / "scripted_runner.py"
DEADLINE_S = 30.0
PLACES = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/usr/local/sbin"])
SERVER = """
ListenAddress 127.0.0.1:{port}
HostKey {root}/host_key
AuthorizedKeysFile {root}/authorized_keys
PidFile none
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
StrictModes no
UsePAM no
AcceptEnv TEST_*
Banner {root}/banner
SetEnv HOME={root}
"""
LOGIN = """#!/bin/sh
eval "$TEST_RC"
exec ${TEST_SHELL:-sh} -c "$SSH_ORIGINAL_COMMAND"
"""


def wait_for(condition: Callable[[], object]) -> None:
    """Wait until a condition holds."""
    end = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < end, "nothing happens"
        time.sleep(0.02)


class Device:
    """This machine behind an ssh server, and a client's configuration that knows it.

    Args:
        root: directory of keys and configurations.
        sshd: path of the server.
    """

    def __init__(self, root: Path, sshd: str) -> None:
        self.root, self.marker = root, f"minnow-{uuid4().hex}"
        self._sshd, self._server, self._hosts = sshd, None, 0
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        for key in ("host_key", "key", "login_key", "other_key"):
            command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", key, "-f", str(root / key)]
            subprocess.run(command, check=True)
        self._write("login", LOGIN, 0o755)
        authorized = f'{self._public("key")}command="{root}/login" {self._public("login_key")}'
        self._write("authorized_keys", authorized)
        self._write("sshd_config", SERVER.format(root=root, port=self.port))
        self._write("banner", "Authorised users only.\n")
        self._write("config", "")
        self.trust("host_key")
        ssh = shutil.which("ssh", path=PLACES)
        self._write("bin/ssh", f'#!/bin/sh\nexec {ssh} -F {root}/config "$@"\n', 0o755)
        self.python = self.interpreter()

    def start(self) -> None:
        """Start the server, and wait until it listens."""
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # where sshd separates its privileges
        command = [
            self._sshd,
            "-D",
            "-f",
            str(self.root / "sshd_config"),
            "-E",
            str(self.root / "sshd.log"),
        ]
        self._server = psutil.Popen(command, start_new_session=True)
        wait_for(self._listens)

    def stop(self) -> None:
        """End the server and all connections to it, as if the machine were switched off."""
        self._server.suspend()  # starts no further children
        self.cut()
        self._server.kill()
        self._server.wait()

    def cut(self) -> None:
        """Kill the server's side of all connections."""
        for process in self._server.children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                if process.name().startswith("sshd"):
                    process.kill()

    def trust(self, key: str) -> None:
        """Make the client know this host key as the server's."""
        self._write("known_hosts", f"device {self._public(key)}")

    def host(self, **options: object) -> str:
        """Return a new name of the server in the client's configuration, with further options."""
        self._hosts += 1
        defaults = {
            "HostName": "127.0.0.1",
            "Port": self.port,
            "User": getpass.getuser(),
            "IdentityFile": self.root / "key",
            "IdentitiesOnly": "yes",
            "IdentityAgent": "none",
            "HostKeyAlias": "device",
            "UserKnownHostsFile": self.root / "known_hosts",
            "GlobalKnownHostsFile": "/dev/null",
        }
        lines = [f"  {name} {value}\n" for name, value in {**defaults, **options}.items()]
        with (self.root / "config").open("a") as file:
            file.write(f"Host device{self._hosts}\n{''.join(lines)}")
        return f"device{self._hosts}"

    def login(self, rc: str = ":", shell: str = "sh") -> str:
        """Return a name of the server whose user has such a login shell, and a file that it runs first."""
        environment = f'"TEST_RC={rc}" TEST_SHELL={shell}'
        return self.host(IdentityFile=self.root / "login_key", SetEnv=environment)

    def interpreter(self, before: str = ":", options: str = "") -> str:
        """Return the path of a Python interpreter, which runs shell commands first."""
        name = f"python-{uuid4().hex[:8]}-{self.marker}"
        script = f'#!/bin/sh\n{before}\nexec {sys.executable} -X {self.marker} {options} "$@"\n'
        return str(self._write(name, script, 0o755))

    def script(self, text: str) -> str:
        """Return the path of an executable file."""
        return str(self._write(f"script-{uuid4().hex[:8]}", text, 0o755))

    def address(self, host: str | None = None, python: str | None = None) -> str:
        """Return the server's address, as a user writes it."""
        return f"ssh:{host or self.host()}{python or self.python}"

    def processes(self) -> list[psutil.Process]:
        """Return the processes that run an interpreter of this device, ssh's own included."""
        running = psutil.process_iter(["cmdline"])
        return [each for each in running if self.marker in " ".join(each.info["cmdline"] or ())]

    def _listens(self) -> bool:
        with socket.socket() as client:
            return client.connect_ex(("127.0.0.1", self.port)) == 0

    def _public(self, key: str) -> str:
        return (self.root / f"{key}.pub").read_text()

    def _write(self, name: str, text: str, mode: int = 0o600) -> Path:
        path = self.root / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        path.chmod(mode)
        return path


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Device]:
    sshd = shutil.which("sshd", path=PLACES)
    if sshd is None:
        pytest.skip("sshd is not installed (Debian: openssh-server)")
    device = Device(tmp_path_factory.mktemp("sshd"), sshd)
    device.start()
    yield device
    device.stop()


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tries to connect again follow one another at once."""
    monkeypatch.setattr(link, "_PAUSES_S", (0.1,))


@pytest.fixture
def device(server: Device, quick: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Device]:
    """The server; the test fails if it leaves processes there."""
    monkeypatch.setenv("PATH", str(server.root / "bin"), prepend=os.pathsep)
    yield server
    try:
        wait_for(lambda: not server.processes())
    finally:
        for process in server.processes():
            process.kill()


@pytest.fixture
def opened() -> Iterator[Callable[..., Link]]:
    """Factory of connections to an address, whose models are commands; they are closed at the end."""
    with contextlib.ExitStack() as stack:

        def open_link(address: Address | str, runner: bytes = RUNNER.read_bytes()) -> Link:
            if isinstance(address, str):
                address = Address.parse(address)
            files = {"model": 1}
            reference = {"files": files, "shape": [1, 3, 4, 4]}
            made = Link(address, {"reference": reference}, [runner, b"reference"])
            stack.callback(made.close)
            return made

        yield open_link


@pytest.fixture
def run_model() -> Callable[[Link, str], list[float]]:
    """Return the logits of an image of ones, by a model that is a command."""

    def run(connection: Link, command: str) -> list[float]:
        message = {"do": "classify", "model": {"files": {"model": 0}, "shape": [1, 3, 4, 4]}}
        image = np.ones((1, 3, 4, 4), "<f4")
        message["shape"] = list(image.shape)
        _, (logits,) = connection.request(message, [command.encode(), image.tobytes()])
        return np.frombuffer(logits, "<f4").tolist()

    return run


@pytest.fixture
def wait() -> Callable[[Callable[[], object]], None]:
    """Wait until a condition holds."""
    return wait_for


@pytest.fixture
def later() -> Callable[..., Callable[[], object]]:
    """Call a function in a thread; gives a function that waits for its result."""

    def start(function: Callable[..., object], *arguments: object) -> Callable[[], object]:
        future: Future[object] = Future()

        def run() -> None:
            try:
                future.set_result(function(*arguments))
            except BaseException as error:
                future.set_exception(error)

        threading.Thread(target=run, daemon=True).start()
        return lambda: future.result(DEADLINE_S)

    return start
