"""Files and folders are replaced whole, or not at all."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from core.errors import UserError
from core.files import (
    atomic_file,
    staged_files,
    staged_folder,
    write_bytes,
    write_text,
)
from core.locks import LOCK, try_lock
from core.output_path import check_free

ROOT = Path(__file__).parents[2]


def test_writes_and_replaces(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "file.txt"
    write_text(path, "first: é")
    write_text(path, "second")
    assert path.read_text(encoding="utf-8") == "second"
    assert os.listdir(path.parent) == ["file.txt"]
    assert path.stat().st_mode & 0o777 == 0o644


def test_permissions_are_those_of_the_user(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        write_text(tmp_path / "own.txt", "first")
        with staged_folder(tmp_path / "folder") as folder:
            write_text(folder / "in.txt", "first")
    finally:
        os.umask(before)
    modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.rglob("*")}
    assert modes == {"own.txt": 0o600, "folder": 0o700, "in.txt": 0o600}
    (tmp_path / "own.txt").chmod(0o640)
    write_text(tmp_path / "own.txt", "second")
    assert (tmp_path / "own.txt").stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize("step", ["fsync", "replace", "chmod"])
@pytest.mark.parametrize(
    ("error", "raised"),
    [(OSError(28, "No space left on device"), UserError), (KeyboardInterrupt(), KeyboardInterrupt)],
)
def test_a_failure_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, error: BaseException, raised: type
) -> None:
    path = tmp_path / "file.bin"
    write_bytes(path, b"old")

    def fail(*_: Any, **__: Any) -> None:
        raise error

    with monkeypatch.context() as patched:
        patched.setattr(os, step, fail)
        with pytest.raises(raised):
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


def test_a_stream_keeps_the_old_file_until_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "file.bin"
    path.write_bytes(b"old")
    with pytest.raises(KeyboardInterrupt), atomic_file(path) as write:
        write(b"new")
        assert path.read_bytes() == b"old"
        raise KeyboardInterrupt
    assert path.read_bytes() == b"old"
    with atomic_file(path) as write:
        write(b"ne")
        write(b"w")
    assert path.read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["file.bin"]


def test_a_writer_that_loses_its_folder_before_it_is_locked_takes_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another writer cleans up in the moment between creation and lock."""
    path, real, lost = tmp_path / "file.bin", tempfile.mkdtemp, []

    def raced(**options: Any) -> str:
        folder = real(**options)
        if not lost:
            lost.append(folder)
            write_bytes(path, b"faster")
            assert not os.path.exists(folder)
        return folder

    monkeypatch.setattr(tempfile, "mkdtemp", raced)
    write_bytes(path, b"slower")
    assert path.read_bytes() == b"slower"
    assert os.listdir(tmp_path) == ["file.bin"]


@pytest.mark.parametrize("again", [False, True])
def test_the_lock_of_a_folder_that_was_renamed_counts_for_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, again: bool
) -> None:
    """Not even where a second folder has come to its path."""
    work, real = tmp_path / "work", FileLock.acquire
    work.mkdir()

    def late(lock: FileLock, **options: Any) -> Any:
        held = real(lock, **options)
        work.rename(tmp_path / "gone")
        if again:
            work.mkdir()
            (work / LOCK).touch()
        return held

    with monkeypatch.context() as patched:
        patched.setattr(FileLock, "acquire", late)
        assert try_lock(work) is None
    (tmp_path / "gone" / LOCK).touch()
    lock = try_lock(tmp_path / "gone")
    assert lock is not None  # it was released
    assert try_lock(tmp_path / "gone") is None
    lock.release()


def test_many_writers_at_once(tmp_path: Path) -> None:
    path = tmp_path / "file.bin"
    contents = [bytes([number]) * 100 for number in range(200)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda content: write_bytes(path, content), contents))
    assert path.read_bytes() in contents
    assert os.listdir(tmp_path) == ["file.bin"]


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


def test_a_staged_folder_appears_at_the_end(tmp_path: Path) -> None:
    out = tmp_path / "new" / "out"
    with staged_folder(out) as work:
        (work / "file").write_text("1")
        assert not out.exists()
    assert [path.name for path in out.iterdir()] == ["file"]
    assert [path.name for path in out.parent.iterdir()] == ["out"]


def test_an_empty_folder_and_a_link_to_one_are_filled(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    with staged_folder(tmp_path / "link") as work:
        (work / "file").write_text("1")
    assert (tmp_path / "real/file").exists() and (tmp_path / "link").is_symlink()


def test_an_error_leaves_no_folder(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), staged_folder(tmp_path / "out") as work:
        (work / "file").write_text("1")
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []


def test_what_is_there_stays(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(UserError, match="is not empty"):
        check_free(tmp_path)
    with pytest.raises(UserError, match="is a file"), staged_folder(tmp_path / "file"):
        raise AssertionError
    with pytest.raises(UserError, match="not empty"), staged_folder(tmp_path / "out"):
        (tmp_path / "out").mkdir()
        (tmp_path / "out/theirs").write_text("theirs")  # somebody else was faster
    assert (tmp_path / "file").read_text() == "mine"
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["theirs"]


def _killed(out: Path) -> None:
    with staged_folder(out) as work:
        (work / "half").mkdir()
        (work / "half/file").write_text("1")
        os.kill(os.getpid(), signal.SIGKILL)


def test_a_kill_leaves_no_folder_and_the_next_run_starts_anew(tmp_path: Path) -> None:
    process = multiprocessing.get_context("fork").Process(target=_killed, args=(tmp_path / "out",))
    process.start()
    process.join()
    (left,) = tmp_path.iterdir()
    assert left.name.startswith(".out.") and left.name.endswith(".partial")
    warnings: list[str] = []
    with staged_folder(tmp_path / "out", warnings.append) as work:
        assert not (work / "half").exists()
        (work / "file").write_text("2")
    assert "interrupted" in warnings[0] and len(warnings) == 1
    assert [path.name for path in tmp_path.rglob("*")] == ["out", "file"]


def test_two_fill_a_folder_at_once(tmp_path: Path) -> None:
    with staged_folder(tmp_path / "out") as work:
        (work / "file").write_text("1")
        with pytest.raises(UserError, match="in use by another process"), staged_folder(tmp_path / "out"):
            raise AssertionError
    assert (tmp_path / "out/file").exists()


def test_staged_files_come_with_the_last_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("mine", "weights"):
        write_text(tmp_path / name, "old")
    seen: list[list[str]] = []
    real = os.replace

    def spy(source: Path, target: Path) -> None:
        if Path(target).parent == tmp_path:
            seen.append(sorted(path.name for path in tmp_path.iterdir() if path.is_file()))
        real(source, target)

    with monkeypatch.context() as patched, staged_files(tmp_path, last="weights") as folder:
        patched.setattr(os, "replace", spy)
        for name in ("weights", "zebra", "apple"):
            (folder / name).write_text("new")
        assert (tmp_path / "weights").read_text() == "old"
    assert seen == [["mine"], ["apple", "mine"], ["apple", "mine", "zebra"]]
    assert sorted(os.listdir(tmp_path)) == ["apple", "mine", "weights", "zebra"]
    with pytest.raises(ZeroDivisionError), staged_files(tmp_path, last="weights") as folder:
        (folder / "weights").write_text("half")
        raise ZeroDivisionError
    assert (tmp_path / "weights").read_text() == "new"
    assert sorted(os.listdir(tmp_path)) == ["apple", "mine", "weights", "zebra"]
