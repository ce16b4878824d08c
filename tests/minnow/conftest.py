"""The command line in this process, and in processes of its own that can be killed."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import cli
from minnow.listener import Listener

ROOT = Path(__file__).parents[2]

#: Forks a process per command line: an interpreter of its own would import torch, timm and scikit-learn
#: for nine seconds each time. A child ends as the interpreter does, its exit handlers included.
_SERVER = """
import json, os, resource, signal, sys
sys.path[0] = os.getcwd()
import cli, optuna, sklearn.datasets, sklearn.metrics, timm, torch

for line in sys.stdin:
    order = json.loads(line)
    child = os.fork()
    if child == 0:
        os.setsid()
        signal.signal(signal.SIGINT, signal.default_int_handler)
        for stream, place in enumerate((os.devnull, order["stdout"], order["stderr"])):
            os.dup2(os.open(place, os.O_WRONLY if stream else os.O_RDONLY), stream)
        os.chdir(order["folder"])
        os.environ.clear()
        os.environ.update(order["environment"])
        if order["file_size"]:
            sys.dont_write_bytecode = True
            resource.setrlimit(resource.RLIMIT_FSIZE, (order["file_size"], order["file_size"]))
        if order["memory"]:
            with open("/proc/self/statm") as pages:
                most = int(pages.read().split()[0]) * resource.getpagesize() + order["memory"]
            resource.setrlimit(resource.RLIMIT_AS, (most, most))
        sys.argv = ["cli.py", *order["arguments"]]
        sys.exit(cli.main(order["arguments"]))
    print(child, flush=True)
    _, status, usage = os.wait4(child, 0)
    seconds = usage.ru_utime + usage.ru_stime
    print(json.dumps([os.waitstatus_to_exitcode(status), usage.ru_maxrss, seconds]), flush=True)
"""


class Ended(NamedTuple):
    """How a command in a process of its own ended; a negative ``returncode`` is a signal."""

    returncode: int
    stdout: str
    stderr: str
    peak_bytes: int
    cpu_seconds: float


class Running:
    """A command in a process of its own, which leads a process group, as under a terminal."""

    def __init__(self, server: subprocess.Popen[str], order: dict[str, Any]) -> None:
        self._server, self._stdout = server, Path(order["stdout"])
        self._code: int | None = None
        _tell(server, json.dumps(order))
        self.pid = int(_line(server))
        # Waits for the other end. A command prints what is in its files, which may be no UTF-8.
        self.stderr = open(order["stderr"], encoding="utf-8", errors="replace")  # noqa: SIM115

    def wait_for(self, words: str) -> None:
        """Read standard error up to the line that holds ``words``."""
        said = []
        for line in self.stderr:
            said.append(line)
            if words in line:
                return
        pytest.fail(f"{words!r} was never said, but\n{''.join(said)}")

    def signal(self, number: int) -> Ended:
        """Send a signal to the whole group, and wait for the end."""
        os.killpg(self.pid, number)
        return self.end()

    def end(self) -> Ended:
        """Wait for the end."""
        rest = self.stderr.read()
        self.stderr.close()
        self._code, peak, seconds = json.loads(_line(self._server))
        output = self._stdout.read_text(encoding="utf-8", errors="replace")
        return Ended(self._code, output, rest, 1024 * peak, seconds)

    def clean_up(self) -> None:
        """Leave nothing running that would take the cores from the tests after it."""
        if self._code is None:
            with suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)
            self.end()


def _tell(server: subprocess.Popen[str], line: str) -> None:
    assert server.stdin is not None
    server.stdin.write(f"{line}\n")
    server.stdin.flush()


def _line(server: subprocess.Popen[str]) -> str:
    assert server.stdout is not None
    return server.stdout.readline()


@pytest.fixture(scope="session")
def server() -> Iterator[subprocess.Popen[str]]:
    """The process that forks commands."""
    pipes: Any = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", _SERVER], cwd=ROOT, text=True, **pipes) as process:
        yield process
        process.stdin.close()


@pytest.fixture(scope="session")
def start_in(
    server: subprocess.Popen[str], tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., Running]:
    """Start a command in a folder: ``start_in(folder, "search", "--trials", "3")``; one at a time.

    ``file_size``: bytes that no file of its may exceed; to the command, a disk that is full.
    ``memory``: bytes that it may take beyond those of its imports.
    """

    def start(
        folder: Path, *arguments: str, file_size: int = 0, memory: int = 0, **environment: str
    ) -> Running:
        streams = tmp_path_factory.mktemp("streams")
        (streams / "stdout").touch()
        os.mkfifo(streams / "stderr")
        order = {
            "folder": str(folder),
            "arguments": arguments,
            "environment": {**os.environ, "COLUMNS": "110", **environment},
            "stdout": str(streams / "stdout"),
            "stderr": str(streams / "stderr"),
            "file_size": file_size,
            "memory": memory,
        }
        return Running(server, order)

    return start


@pytest.fixture
def start(start_in: Callable[..., Running]) -> Iterator[Callable[..., Running]]:
    """Start a command in the working directory: ``start("search --trials 3")``."""
    started: list[Running] = []

    def run(command: str, **options: Any) -> Running:
        started.append(start_in(Path.cwd(), *command.split(), **options))
        return started[-1]

    yield run
    for command in started:
        command.clean_up()


class Said(NamedTuple):
    """How a command ended."""

    code: int
    output: str
    notices: list[str]

    @property
    def complaint(self) -> str:
        """The error: the last line of standard error, and the only one that looks like one."""
        assert self.code == 2, (self.code, self.notices)
        errors = [line for line in self.notices if line.startswith("minnow: error: ")]
        assert errors == self.notices[-1:]
        assert "Traceback" not in "".join(self.notices)
        return errors[0].removeprefix("minnow: error: ")


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a search (``runs/found``, three trials, two goals) and a training (``runs/alone``)."""
    folder = tmp_path_factory.mktemp("finished")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("MINNOW_CACHE", str(folder / "cache"))
        patch.setattr("sys.argv", ["cli.py"])
        for command in (
            "search --space toy --trials 3 --epochs 1 --objective f1 --objective macs --out runs/found",
            "train --model runs/found --epochs 1 --out runs/alone",
        ):
            with pytest.raises(SystemExit) as ended:
                cli.main(command.split())
            assert ended.value.code == 0
    return folder


@pytest.fixture
def alone(finished: Path, here: Path) -> Path:
    """A copy of the trained student, in ``alone``."""
    return Path(shutil.copytree(finished / "runs/alone", here / "alone"))


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, finished: Path) -> Path:
    """An empty working directory; decoded images are shared between tests."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MINNOW_CACHE", str(finished / "cache"))
    monkeypatch.setattr("sys.argv", ["cli.py"])
    return tmp_path


@pytest.fixture
def there(here: Path, monkeypatch: pytest.MonkeyPatch, finished: Path) -> Path:
    """The finished runs as the working directory, for what does not change them."""
    monkeypatch.chdir(finished)
    return finished


@pytest.fixture
def minnow(capsys: pytest.CaptureFixture[str]) -> Callable[..., Said]:
    """Run a command: ``minnow("search --trials 3")`` or ``minnow("predict", "a file.png")``."""

    def run(first: str, *more: str) -> Said:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            cli.main([*first.split(), *more])
        said = capsys.readouterr()
        return Said(ended.value.code or 0, said.out, said.err.splitlines())

    return run


class Keeping(Listener):
    """Keeps the notes and the warnings."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.warnings: list[str] = []

    def note(self, message: str) -> None:
        self.notes.append(message)

    def warn(self, message: str) -> None:
        self.warnings.append(message)


@pytest.fixture
def keeping() -> Keeping:
    """A listener that keeps the notes and the warnings."""
    return Keeping()


@pytest.fixture(scope="module")
def keeping_all() -> Keeping:
    """The same for all tests of a module."""
    return Keeping()


@pytest.fixture(scope="session")
def metrics() -> Callable[[str | Path], dict[str, Any]]:
    """Read the scores of a student in its folder."""

    def read(folder: str | Path) -> dict[str, Any]:
        content: dict[str, Any] = json.loads(Path(folder, "metrics.json").read_text())
        return content

    return read


@pytest.fixture
def photos(here: Path, write_classes: Callable[..., Path]) -> Path:
    """``photos`` in the working directory: a data set for what does not depend on the images."""
    return write_classes(here / "photos")


@pytest.fixture(scope="session")
def write_classes() -> Callable[..., Path]:
    """Write dark and light photos of different sizes in two class folders, 12 of each by default."""
    import numpy as np
    from PIL import Image

    def write(root: Path, count: int = 12) -> Path:
        rng = np.random.default_rng(0)
        for label, level in (("dark", 60), ("light", 200)):
            (root / label).mkdir(parents=True)
            for index in range(count):
                pixels = rng.normal(level, 20, (40 + index, 48, 3)).clip(0, 255).astype(np.uint8)
                Image.fromarray(pixels).save(root / label / f"{index}.jpg")
        return root

    return write
