"""A disk that cannot be written: one line, with the advice that fits the place."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from core.cache import cache_dir
from core.errors import UserError, disk_errors
from core.files import write_json
from training.state import save_checkpoint


def message_about(code: int, place: Path) -> str:
    with pytest.raises(UserError) as raised, disk_errors(place):
        raise OSError(code, os.strerror(code))
    assert "\n" not in str(raised.value) and str(place) in str(raised.value)
    return str(raised.value)


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EIO])
def test_the_cache_can_be_moved_and_a_run_put_elsewhere(code):
    assert "MINNOW_CACHE" in message_about(code, cache_dir() / "place")
    assert "MINNOW_CACHE" not in message_about(code, Path("place"))


def test_a_bug_is_none_of_the_disk(tmp_path):
    for place in (cache_dir(), tmp_path):
        with pytest.raises(FileNotFoundError), disk_errors(place):
            (tmp_path / "missing").read_bytes()


def test_a_checkpoint_knows_where_it_lies(tmp_path, monkeypatch):
    """A teacher's is in the cache, a student's in its run."""
    monkeypatch.setenv("MINNOW_CACHE", str(tmp_path / "cache"))
    for folder in ("cache", "run"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "file").write_text("")
    with pytest.raises(UserError, match="MINNOW_CACHE"):
        save_checkpoint(tmp_path / "cache/file/checkpoint.pt", {})
    with pytest.raises(UserError, match="a part of this path is a file; choose another directory"):
        save_checkpoint(tmp_path / "run/file/checkpoint.pt", {})
    with pytest.raises(UserError, match="choose another directory"):
        write_json(tmp_path / "run/file/metrics.json", {})
