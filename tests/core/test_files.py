"""Files are replaced whole, or not at all."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from core.files import write_bytes, write_text

ROOT = Path(__file__).parents[2]


def test_writes_and_replaces(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "file.txt"
    write_text(path, "first: é")
    write_text(path, "second")
    assert path.read_text(encoding="utf-8") == "second"
    assert os.listdir(path.parent) == ["file.txt"]
    assert path.stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("step", ["fsync", "replace", "chmod"])
@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_failure_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, error: BaseException
) -> None:
    path = tmp_path / "file.bin"
    write_bytes(path, b"old")

    def fail(*_: Any, **__: Any) -> None:
        raise error

    with monkeypatch.context() as patched:
        patched.setattr(os, step, fail)
        with pytest.raises(type(error)):
            write_bytes(path, b"new")
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file.bin"]


def test_the_content_reaches_the_disk_before_the_name_and_then_the_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []
    for step in ("fsync", "replace"):
        real = getattr(os, step)

        def spy(*args: Any, step: str = step, real: Any = real) -> Any:
            order.append(step)
            return real(*args)

        monkeypatch.setattr(os, step, spy)
    write_bytes(tmp_path / "file.bin", b"new")
    assert order == ["fsync", "replace", "fsync"]  # the file, its name, the directory that holds it


_WRITER = """
import os, sys
from pathlib import Path
from core.files import write_bytes
real = os.fsync
def stuck(handle):
    print("writing", flush=True)
    sys.stdin.read()
    real(handle)
os.fsync = stuck
write_bytes(Path(sys.argv[1]), b"slow")
"""


def test_what_a_killed_writer_left_is_removed_and_what_a_living_one_writes_is_not(tmp_path: Path) -> None:
    path = tmp_path / "file[1].bin"
    writers = []
    for _ in range(2):
        command = [sys.executable, "-c", _WRITER, str(path)]
        writers.append(
            subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        )
    dead, alive = writers
    for writer in writers:
        assert writer.stdout is not None and writer.stdout.readline() == "writing\n"
    assert len(os.listdir(tmp_path)) == 2
    dead.send_signal(signal.SIGKILL)
    dead.communicate()
    write_bytes(path, b"fast")
    assert path.read_bytes() == b"fast"
    assert len(os.listdir(tmp_path)) == 2  # this file and the living writer's
    alive.communicate("go on")
    assert alive.returncode == 0
    assert path.read_bytes() == b"slow"
    assert os.listdir(tmp_path) == [path.name]
