"""The command that is printed is one that can be typed as it stands."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from commands.console import program


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for folder in ("venv/bin", "elsewhere"):
        (tmp_path / folder).mkdir(parents=True)
        for name in ("python", "python3.11", "minnow"):
            path = tmp_path / folder / name
            path.write_text("#!/bin/sh\n")
            path.chmod(0o755)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("folder", "typed"),
    [("venv/bin", "python cli.py"), ("elsewhere", os.path.join("venv", "bin", "python3.11") + " cli.py")],
)
def test_the_interpreter_is_named_as_the_shell_finds_it(place, monkeypatch, folder, typed):
    monkeypatch.setattr(sys, "executable", str(place / "venv/bin/python3.11"))
    monkeypatch.setattr(sys, "argv", ["cli.py"])
    monkeypatch.setenv("PATH", str(place / folder))
    assert program() == typed


def test_the_console_script_outside_the_path(place, monkeypatch):
    monkeypatch.setattr(sys, "argv", [str(place / "venv/bin/minnow")])
    monkeypatch.setenv("PATH", str(place / "elsewhere"))
    assert program() == os.path.join("venv", "bin", "minnow")
    monkeypatch.setenv("PATH", str(place / "venv/bin"))
    assert program() == "minnow"
    monkeypatch.chdir(place / "elsewhere")
    monkeypatch.setenv("PATH", str(place / "elsewhere"))
    assert program() == str(place / "venv/bin/minnow")
