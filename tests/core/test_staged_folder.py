"""A folder is whole or absent, whatever happens while it is made."""

from __future__ import annotations

import multiprocessing
import os
import signal
from pathlib import Path

import pytest

from core.errors import UserError
from core.staged_folder import check_free, made_whole


def test_it_appears_at_the_end(tmp_path: Path) -> None:
    out = tmp_path / "new" / "out"
    with made_whole(out) as work:
        (work / "file").write_text("1")
        assert not out.exists()
    assert [path.name for path in out.iterdir()] == ["file"]
    assert [path.name for path in out.parent.iterdir()] == ["out"]


def test_an_empty_folder_and_a_link_to_one_are_filled(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    with made_whole(tmp_path / "link") as work:
        (work / "file").write_text("1")
    assert (tmp_path / "real/file").exists() and (tmp_path / "link").is_symlink()


def test_an_error_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), made_whole(tmp_path / "out") as work:
        (work / "file").write_text("1")
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []


def test_what_is_there_stays(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(UserError, match="is not empty"):
        check_free(tmp_path)
    with pytest.raises(UserError, match="is a file"), made_whole(tmp_path / "file"):
        raise AssertionError
    with pytest.raises(UserError, match="not empty"), made_whole(tmp_path / "out"):
        (tmp_path / "out").mkdir()
        (tmp_path / "out/theirs").write_text("theirs")  # somebody else was faster
    assert (tmp_path / "file").read_text() == "mine"
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["theirs"]


def _killed(out: Path) -> None:
    with made_whole(out) as work:
        (work / "half").mkdir()
        (work / "half/file").write_text("1")
        os.kill(os.getpid(), signal.SIGKILL)


def test_a_kill_leaves_no_folder_and_the_next_run_starts_anew(tmp_path: Path) -> None:
    process = multiprocessing.get_context("fork").Process(target=_killed, args=(tmp_path / "out",))
    process.start()
    process.join()
    assert [path.name for path in tmp_path.iterdir()] == [".out.partial"]
    warnings: list[str] = []
    with made_whole(tmp_path / "out", warnings.append) as work:
        assert not (work / "half").exists()
        (work / "file").write_text("2")
    assert "interrupted" in warnings[0] and len(warnings) == 1
    assert [path.name for path in tmp_path.rglob("*")] == ["out", "file"]


def test_two_at_once(tmp_path: Path) -> None:
    with made_whole(tmp_path / "out") as work:
        (work / "file").write_text("1")
        with pytest.raises(UserError, match="in use by another process"), made_whole(tmp_path / "out"):
            raise AssertionError
    assert (tmp_path / "out/file").exists()
