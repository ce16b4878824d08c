"""Where output goes: results to standard output, notices and progress to standard error."""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console

from training.launch import is_main

_PLAIN_WIDTH = 110  # columns of tables that go to a file or a pipe


def output() -> Console:
    """For results."""
    return _console(stderr=False)


def notices() -> Console:
    """For everything else: what was taken by default, warnings, progress."""
    return _console(stderr=True)


def say(text: str) -> None:
    """One line about what is happening."""
    notices().print(text, highlight=False, markup=False, soft_wrap=True)


def warn(text: str) -> None:
    """One line about what may be wrong."""
    notices().print(f"warning: {text}", style="yellow", highlight=False, markup=False, soft_wrap=True)


def next_step(text: str) -> None:
    """The command to type next, on a line of its own so that it can be copied."""
    output().print(f"\nNext:\n  {text}", highlight=False, markup=False, soft_wrap=True)


@contextmanager
def interruptible(resume: str) -> Iterator[None]:
    """Let Ctrl-C end long work with one line that says how to go on; exit code 130."""
    try:
        yield
    except KeyboardInterrupt:
        say(f"\nstopped; what is finished is stored. Go on with:\n  {program()} {resume}")
        raise SystemExit(130) from None


def program() -> str:
    """What to type to call this program: ``python cli.py``, ``.venv/bin/python cli.py``, ``minnow``."""
    if sys.argv[0].endswith(".py"):
        return f"{_typed(sys.executable)} {sys.argv[0]}"
    return _typed(sys.argv[0]) if sys.argv[0] else "minnow"


def _typed(executable: str) -> str:
    """The name alone where the shell finds it, else its path, from here where it is below."""
    path = Path(os.path.abspath(executable))
    for name in (re.sub(r"[\d.]+$", "", path.name), path.name):
        found = shutil.which(name)
        if found is not None and Path(os.path.abspath(found)).parent == path.parent:
            return name
    return os.path.relpath(path) if path.is_relative_to(Path.cwd()) else str(path)


def _console(*, stderr: bool) -> Console:
    quiet = not is_main()
    console = Console(stderr=stderr, quiet=quiet)
    return console if console.is_terminal else Console(stderr=stderr, quiet=quiet, width=_PLAIN_WIDTH)
