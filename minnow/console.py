"""Output: results to standard output, notices and progress to standard error."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console

from core.runtime import is_main

_PLAIN_WIDTH = 110  # columns of tables that go to a file or a pipe


def output() -> Console:
    """Return the console for results."""
    return _console(stderr=False)


def notices() -> Console:
    """Return the console for everything else: defaults taken, warnings, progress."""
    return _console(stderr=True)


def say(text: str) -> None:
    """Print one line about the work in progress."""
    notices().print(text, highlight=False, markup=False, soft_wrap=True)


def warn(text: str) -> None:
    """Print one line about a possible problem."""
    notices().print(f"warning: {text}", style="yellow", highlight=False, markup=False, soft_wrap=True)


def next_step(*steps: Sequence[object]) -> None:
    """Print the commands to type next, each on a line of its own so that it can be copied.

    Args:
        steps: the arguments of each.
    """
    lines = "".join(f"\n  {command(*arguments)}" for arguments in steps)
    output().print(f"\nNext:{lines}", highlight=False, markup=False, soft_wrap=True)


@contextmanager
def interruptible(*resume: object) -> Iterator[None]:
    """Let Ctrl-C end long work with one line that says how to resume it; exit code 130.

    Args:
        resume: the arguments that resume it.
    """
    try:
        yield
    except KeyboardInterrupt:
        say(f"\nstopped; what is finished is stored. Go on with:\n  {command(*resume)}")
        raise SystemExit(130) from None


def command(*arguments: object) -> str:
    """Return the command line of a command of this program, quoted for the shell."""
    return f"{program()} {shlex.join(map(str, arguments))}"


def program() -> str:
    """Return how to call this program: ``python cli.py``, ``.venv/bin/python cli.py``, ``minnow``.

    It is quoted for the shell, and right where the user is now.
    """
    if sys.argv[0].endswith(".py"):
        return f"{_typed(sys.executable)} {shlex.quote(sys.argv[0])}"
    return _typed(sys.argv[0]) if sys.argv[0] else "minnow"


def _typed(executable: str) -> str:
    """Return the name alone where the shell finds it, else its path, from here where it is below."""
    path = Path(os.path.abspath(executable))
    for name in (re.sub(r"[\d.]+$", "", path.name), path.name):
        program_path = shutil.which(name)
        if program_path is not None and Path(os.path.abspath(program_path)).parent == path.parent:
            return name
    if not path.is_relative_to(Path.cwd()):
        return shlex.quote(str(path))
    below = os.path.relpath(path)
    return shlex.quote(below if os.sep in below else os.path.join(".", below))


def _console(*, stderr: bool) -> Console:
    quiet = not is_main()
    console = Console(stderr=stderr, quiet=quiet)
    return console if console.is_terminal else Console(stderr=stderr, quiet=quiet, width=_PLAIN_WIDTH)
