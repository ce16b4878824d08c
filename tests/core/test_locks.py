"""Locks where the file system has none."""

from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path

import pytest

from core.errors import UserError
from core.files import write_text
from core.locks import locked, try_lock


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS])
def test_a_file_system_without_locks_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refuse(*_: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refuse)
    for use in (lambda: locked(tmp_path).__enter__(), lambda: write_text(tmp_path / "file", "text")):
        with pytest.raises(UserError, match="is on a file system without locks: choose a directory"):
            use()


def test_one_that_another_holds_is_not_given(tmp_path: Path) -> None:
    with locked(tmp_path):
        assert try_lock(tmp_path) is None
    held = try_lock(tmp_path)
    assert held is not None
    held.release()
