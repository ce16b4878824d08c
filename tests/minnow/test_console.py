"""The command that is printed is one that can be typed as it stands."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from minnow.console import command, program


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


def test_what_is_typed_is_quoted_and_names_a_file(place, monkeypatch):
    monkeypatch.setenv("PATH", str(place / "elsewhere"))
    monkeypatch.setattr(sys, "executable", str(place / "venv/bin/python"))
    monkeypatch.setattr(sys, "argv", ["a folder/cli.py"])
    assert command("export", Path("a run"), 3) == "venv/bin/python 'a folder/cli.py' export 'a run' 3"
    monkeypatch.chdir(place / "venv/bin")
    monkeypatch.setattr(sys, "argv", [str(place / "venv/bin/minnow")])
    assert command("distill", "--teacher", "a*0.7,b*0.3") == "./minnow distill --teacher 'a*0.7,b*0.3'"


def test_what_is_printed_runs_as_typed(here, minnow, monkeypatch):
    """From a directory that the interpreter and the program are above of."""
    root = Path(__file__).parents[2]
    monkeypatch.setattr(sys, "argv", [str(root / "cli.py")])
    said = minnow("search --space toy --trials 1 --epochs 1 --out", "runs/a run")
    typed = said.output.splitlines()[-1].strip()
    assert typed.endswith(" distill --teacher tf_efficientnet_lite0 --student 'runs/a run'")
    done = subprocess.run(
        f"{typed.partition(' distill ')[0]} report 'runs/a run'",
        shell=True,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "wrote runs/a run/report.html\n")


def test_the_console_script_outside_the_path(place, monkeypatch):
    monkeypatch.setattr(sys, "argv", [str(place / "venv/bin/minnow")])
    monkeypatch.setenv("PATH", str(place / "elsewhere"))
    assert program() == os.path.join("venv", "bin", "minnow")
    monkeypatch.setenv("PATH", str(place / "venv/bin"))
    assert program() == "minnow"
    monkeypatch.chdir(place / "elsewhere")
    monkeypatch.setenv("PATH", str(place / "elsewhere"))
    assert program() == str(place / "venv/bin/minnow")
