"""Odd surroundings: directories that cannot be written, no home, terminals without letters, full disks."""

from __future__ import annotations

import errno
import os
import pwd
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import minnow as api
from core.cache import cache_dir, in_cache
from core.errors import UserError, out_of_memory, system_advice

CLI = Path(__file__).parents[2] / "cli.py"
SEARCH = "search --space toy --trials 1 --epochs 1"


@pytest.mark.parametrize("blocked", ["file", "link"])
def test_a_search_elsewhere_needs_no_link_here(here, minnow, blocked):
    """As in a directory that cannot be written, here for root, too."""
    if blocked == "file":
        (here / "runs").touch()
    else:
        (here / "runs").symlink_to("missing/place")
    said = minnow(f"{SEARCH} --out elsewhere")
    assert said.code == 0
    (warning,) = [line for line in said.notices if "runs/latest cannot be made here" in line]
    assert warning.startswith("warning: ") and warning.endswith("elsewhere")
    assert minnow("search --resume --out elsewhere --trials 2").code == 0
    assert len(api.Run("elsewhere").trials) == 2


def test_a_run_that_cannot_be_made_is_one_line_and_leaves_nothing(here, minnow, finished):
    (here / "runs").touch()
    for command in (SEARCH, f"train --model {finished}/runs/found --epochs 1"):
        complaint = minnow(command).complaint
        assert complaint.startswith("cannot write runs/") and "a part of this path is a file" in complaint
    assert os.listdir(here) == ["runs"]


@pytest.mark.parametrize("number", [errno.EACCES, errno.ENOSPC])
def test_what_the_system_refuses_leaves_no_half_made_run(here, minnow, monkeypatch, number):
    def refuse(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number), "runs/somewhere")

    with monkeypatch.context() as patched:
        patched.setattr("minnow.search_run.search_weights", refuse)
        assert "runs/somewhere" in minnow(f"{SEARCH} --out new").complaint
    assert not (here / "new").exists()
    assert minnow(f"{SEARCH} --out new").code == 0


def test_a_home_that_nobody_knows(here, minnow, monkeypatch):
    def unknown(*_: object) -> None:
        raise KeyError

    for name in ("HOME", "MINNOW_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", unknown)
    assert "set MINNOW_CACHE" in minnow(f"{SEARCH} --out new").complaint
    assert not (here / "new").exists() and not (here / "~").exists()
    assert not in_cache(here)
    monkeypatch.setenv("MINNOW_CACHE", "~somebody-unknown/cache")
    with pytest.raises(UserError, match="knows no such home directory: set MINNOW_CACHE"):
        cache_dir()


@pytest.mark.parametrize(
    "command",
    [
        "search --data ~somebody-unknown/x",
        "search --data ~somebody-unknown/x.yaml",
        "train --model ~somebody-unknown/x",
        "distill --student FOUND --teacher ~somebody-unknown/x",
        "distill --student FOUND --teacher resnet18:~somebody-unknown/x.pth",
    ],
)
def test_the_home_of_somebody_unknown(here, minnow, finished, command):
    assert "~somebody-unknown/x" in minnow(command.replace("FOUND", f"{finished}/runs/found")).complaint


def test_a_terminal_without_the_letters_of_a_class(here: Path, write_classes: Callable) -> None:
    photos = write_classes(here / "photos")
    (photos / "dark").rename(photos / "Käse")
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    command = [sys.executable, str(CLI), "data", "check", "photos"]
    said = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert said.returncode == 0, said.stderr
    assert "K\\xe4se" in said.stdout


@pytest.mark.system
def test_a_full_disk_names_the_journal(here, start):
    code, _, notices, *_ = start(f"{SEARCH} --out new", file_size=1_500).end()
    assert code == 2 and "Traceback" not in notices
    assert "cannot write new/study.journal: files here may not be that large" in notices.splitlines()[-1]


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (OSError(errno.EACCES, "Permission denied", "photo.png"), "photo.png: Permission denied"),
        (OSError(errno.ELOOP, "Too many levels", "x"), "x: Too many levels"),
        (OSError(errno.ENOSPC, "No space", "x"), "x: the disk is full; free some space and try again"),
        (OSError(errno.ENOSPC, "No space"), "the disk is full; free some space and try again"),
        (OSError("something odd"), None),
    ],
)
def test_an_error_of_reading_does_not_speak_of_writing(error: OSError, line: str | None) -> None:
    assert system_advice(error) == line


def test_a_journal_that_cannot_be_read(here, finished, monkeypatch):
    import shutil

    from optuna.storages.journal import JournalFileBackend

    shutil.copytree(finished / "runs/found", here / "found")

    def refuse(*_: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(JournalFileBackend, "read_logs", refuse)
    with pytest.raises(UserError, match=r"^found/study.journal cannot be read: Permission denied$"):
        _ = api.Run("found").trials


@pytest.mark.parametrize(
    "text", ["CUDA error: out of memory", "CUBLAS_STATUS_ALLOC_FAILED", "std::bad_alloc"]
)
def test_words_for_a_lack_of_memory(text: str) -> None:
    assert out_of_memory(RuntimeError(text)) and out_of_memory(MemoryError())
    assert not out_of_memory(RuntimeError("shapes differ")) and not out_of_memory(ValueError(text))


@pytest.mark.parametrize("mine", ["training.py", "deploy/__init__.py", None])
def test_a_script_beside_a_file_with_the_name_of_a_package(tmp_path: Path, mine: str | None) -> None:
    (tmp_path / "script.py").write_text("import minnow\nprint(minnow.load)\n")
    if mine is not None:
        (tmp_path / mine).parent.mkdir(exist_ok=True)
        (tmp_path / mine).touch()
    done = subprocess.run(
        [sys.executable, "script.py"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(CLI.parent)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == (0 if mine is None else 1)
    if mine is not None:
        last = done.stderr.strip().splitlines()[-1]
        name = mine.partition("/")[0].removesuffix(".py")
        assert last.startswith("ImportError: ") and f"{mine} hides Minnow's package {name!r}" in last
