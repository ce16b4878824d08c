"""Other machines as they can be: unknown, closed, without Python or packages, with shells of all sorts."""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from core.errors import UserError
from deploy.device.address import Address
from deploy.device.link import Link
from deploy.targets.onnx_runtime import OnnxRuntime
from deploy.targets.session import Session

Run = Callable[[Link, str], list[float]]
Opened = Callable[..., Link]


def refusal(opened: Opened, address: str) -> str:
    """Return the one line that says why a device cannot be used."""
    with pytest.raises(UserError) as failure:
        opened(address)
    line = str(failure.value)
    assert "\n" not in line
    return line


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"Port": 1}, "Connection refused"),
        ({"HostName": "no-such-host.invalid"}, "Could not resolve hostname"),
        ({"UserKnownHostsFile": "/dev/null"}, "Host key verification failed"),
        ({"IdentityFile": "/dev/null"}, "Permission denied"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_no_connection(device, opened: Opened, options: dict[str, object], reason: str) -> None:
    host = device.host(**options)
    line = refusal(opened, device.address(host))
    assert line.startswith(f"{host} cannot be reached: ") and reason in line
    if reason == "Permission denied":
        assert line.endswith(f"; log in with a key and no password (ssh-copy-id {host})")
    else:
        assert line.endswith(f"; see that this works: ssh -o BatchMode=yes {host}")


def test_no_ssh(device, opened: Opened, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    address = device.address()
    monkeypatch.setenv("PATH", str(tmp_path))
    assert refusal(opened, address) == "ssh is not installed; install OpenSSH's client"
    (tmp_path / "ssh").touch(mode=0o600)
    assert refusal(opened, address) == "ssh cannot be run here: no permission"


def test_no_python(device, opened: Opened) -> None:
    host = device.host()
    line = refusal(opened, f"ssh:{host}/no/such/python3")
    assert line.startswith(f"{host} has no /no/such/python3; install Python 3.8 or newer there")
    assert "Permission denied" in refusal(opened, f"ssh:{host}{device.root}/config")


@pytest.mark.parametrize("version", ["(2, 7, 18)", "(3, 6, 9)", "(3, 7, 17)"])
def test_an_old_python(device, opened: Opened, version: str) -> None:
    old = device.script(
        f"#!{sys.executable}\n"
        f"import sys\nsys.version_info = {version}\nexec(sys.argv[sys.argv.index('-c') + 1])\n"
    )
    host = device.host()
    name = ".".join(re.findall(r"\d+", version)[:2])
    assert refusal(opened, f"ssh:{host}{old}") == (
        f"{host}: Python {name} is there, and 3.8 or newer is needed"
    )


def test_a_python_without_packages(device, opened: Opened) -> None:
    host = device.host()
    line = refusal(opened, f"ssh:{host}{device.interpreter(options='-I -S')}")
    assert line == f"{host}: numpy is missing: {sys.executable} -m pip install numpy"


def test_a_python_without_the_runtime(device, opened: Opened) -> None:
    host = device.host()
    hidden = 'sys.modules["onnxruntime"] = None'
    python = device.script(
        f"#!{sys.executable}\nimport sys\n{hidden}\nexec(sys.argv[sys.argv.index('-c') + 1])\n"
    )
    with pytest.raises(UserError) as failure:
        Session(OnnxRuntime(), Address.parse(f"ssh:{host}{python}"))
    assert str(failure.value) == (
        f"{host}: onnxruntime is missing: {sys.executable} -m pip install onnxruntime"
    )


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("echo no shell for you", "it prints 'no shell for you' and does not answer"),
        ("echo no shell for you; exit 1", "it prints 'no shell for you' and does not answer"),
        ("exit 7", "/script-[0-9a-f]+ ended with exit status 7"),
        ("yes", "it answers with 'y'"),
        ("echo minnow: ready; echo 5; sleep 60", "it answers with '5'"),
        (
            "echo minnow: ready; yes '[' | head -c 200000 | tr -d '\\n'; echo; sleep 60",
            r"it answers with '\[+",
        ),
    ],
)
def test_answers_that_are_none(device, opened: Opened, script: str, reason: str) -> None:
    host = device.host()
    line = refusal(opened, f"ssh:{host}{device.script(f'#!/bin/sh{chr(10)}{script}{chr(10)}')}")
    assert re.search(reason, line) and line.startswith(f"{host}: ")
    assert len(line) < 300


@pytest.mark.parametrize("rc", ["echo hello", "printf hello", "echo hello >&2", "seq 1 20000"])
def test_a_login_shell_that_prints(device, opened: Opened, run_model: Run, rc: str) -> None:
    assert run_model(opened(device.address(device.login(rc))), "good") == [1.0, 4.0]


@pytest.mark.parametrize("shell", ["bash", "dash", "fish", "tcsh", "zsh"])
def test_login_shells(device, opened: Opened, run_model: Run, shell: str) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    host = device.login(shell=shell)
    assert run_model(opened(device.address(host)), "good") == [1.0, 4.0]
    assert f"{host} has no /no/such/python3" in refusal(opened, f"ssh:{host}/no/such/python3")


def test_a_configuration_for_logins_by_hand(device, opened: Opened, run_model: Run) -> None:
    host = device.host(
        ControlMaster="auto",
        ControlPath=device.root / "control",
        ControlPersist="yes",
        ExitOnForwardFailure="yes",
        LocalForward=f"127.0.0.1:{device.port} 127.0.0.1:1",  # a port that is in use
        LogLevel="VERBOSE",
        RemoteCommand="tmux",
        RequestTTY="force",
    )
    there = opened(device.address(host))
    assert run_model(there, "good") == [1.0, 4.0]
    assert not (device.root / "control").exists()
