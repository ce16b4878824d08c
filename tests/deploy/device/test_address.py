"""Addresses of devices, and the command that reaches them."""

from __future__ import annotations

import shlex
import sys

import pytest

from core.errors import UserError
from deploy.device.address import Address
from deploy.targets import parse


@pytest.mark.parametrize(
    ("text", "host", "port", "python"),
    [
        ("ssh:pi", "pi", None, "python3"),
        ("ssh:pi@192.168.0.7", "pi@192.168.0.7", None, "python3"),
        ("ssh:pi@board.local:2222", "pi@board.local", 2222, "python3"),
        ("ssh:board/opt/py-3.11/bin/python3", "board", None, "/opt/py-3.11/bin/python3"),
        ("ssh:_a.b-c@board:22/usr/bin/python3", "_a.b-c@board", 22, "/usr/bin/python3"),
        ("ssh:[::1]", "::1", None, "python3"),
        ("ssh:pi@[fe80::1%eth0]:22/usr/bin/python3", "pi@fe80::1%eth0", 22, "/usr/bin/python3"),
    ],
)
def test_forms(text: str, host: str, port: int | None, python: str) -> None:
    assert Address.parse(text) == Address(host, port, python)
    target, address = parse(f"onnxruntime@{text}")
    assert type(target).__name__ == "OnnxRuntime"
    assert address == Address(host, port, python)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "pi",
        "ssh:",
        "ssh:pi@",
        "ssh:@pi",
        "ssh:-oProxyCommand=id",
        "ssh:-l@pi",
        "ssh:pi@-oProxyCommand=id",
        "ssh:[-1]",
        "ssh:pi:",
        "ssh:pi:0",
        "ssh:pi:65536",
        "ssh:pi:-22",
        "ssh:pi:22:22",
        "ssh:pi/",
        "ssh:pi/python 3",
        "ssh:pi/a;id",
        "ssh:pi/$(id)",
        "ssh:pi;id",
        "ssh:pi pi",
        "ssh:pi\n",
        "ssh:::1",
        "ssh:" + "x@" * 1000,
    ],
)
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(UserError, match="is no device; write it as ssh:") as failure:
        Address.parse(text)
    assert "\n" not in str(failure.value) and len(str(failure.value)) < 300


def test_no_address_is_this_machine() -> None:
    _, address = parse("onnxruntime")
    assert address == Address()
    assert address.command("print(1)")[0] == sys.executable
    with pytest.raises(UserError, match="is no device"):
        parse("onnxruntime@")


def test_the_host_is_never_an_option_of_ssh() -> None:
    command = Address.parse("ssh:pi@board:2222").command("print('a')")
    assert command[0] == "ssh"
    assert command[-3:-1] == ["--", "pi@board"]
    assert command[command.index("-p") + 1] == "2222"
    shell, option, script = shlex.split(command[-1])
    assert (shell, option) == ("sh", "-c")
    assert "python3 -B -u -c" in script


def test_the_command_to_try_by_hand() -> None:
    assert Address.parse("ssh:pi@board:2222/usr/bin/python3").login == (
        "ssh -o BatchMode=yes -p 2222 pi@board"
    )
    assert Address.parse("ssh:board").login == "ssh -o BatchMode=yes board"
    assert Address.parse("ssh:pi@board:2222").key_copy == ["ssh-copy-id", "-p", "2222", "pi@board"]
