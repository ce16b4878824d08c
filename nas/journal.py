"""The journal file, in which a study is stored by default: opened, and repaired after a kill."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import UserError, one_line

if TYPE_CHECKING:
    from optuna.storages import BaseStorage
    from optuna.storages.journal import JournalFileSymlinkLock

_STALE_AFTER = 3  # seconds, after which the lock of a killed process is broken; holders need milliseconds


def open_journal(journal: Path) -> BaseStorage:
    """Open a journal file; it is created if it is missing.

    Raises:
        UserError: it is damaged.
    """
    import optuna
    from optuna.storages.journal import JournalFileBackend

    try:
        return optuna.storages.JournalStorage(JournalFileBackend(str(journal), _lock(journal)))
    except (ValueError, LookupError, TypeError) as error:  # Optuna's own words for a strange line
        reason = f"{type(error).__name__}: {one_line(error)}"
        raise UserError(
            f"{journal} is damaged ({reason}); restore it from a copy or start in another run directory"
        ) from None


def _lock(journal: Path) -> JournalFileSymlinkLock:
    """Return Optuna's own lock, which its dashboard takes, too."""
    from optuna.storages.journal import JournalFileSymlinkLock

    # An absolute path: a link to a relative one may point nowhere, and then it never becomes stale.
    return JournalFileSymlinkLock(str(journal.resolve()), grace_period=_STALE_AFTER)


def repair_journal(journal: Path) -> None:
    """Cut off a last line that a kill or a power cut left unfinished."""
    lock = _lock(journal)
    lock.acquire()
    try:
        with journal.open("rb+") as file:
            content = file.read()
            whole = content.rfind(b"\n") + 1
            last = content.rfind(b"\n", 0, max(whole - 1, 0)) + 1
            if not _is_json(content[last:whole]):
                whole = last
            if whole != len(content):
                file.truncate(whole)
                file.flush()
                os.fsync(file.fileno())
    finally:
        lock.release()


def _is_json(line: bytes) -> bool:
    try:
        json.loads(line)
    except ValueError:  # a decoding error is one, too
        return False
    return True
