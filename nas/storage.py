"""Optuna storages: a journal file or a database, opened to write or to read, and their locks.

Two searches must not write one study. On one machine, and on several that share the disk of a SQLite
file, a file lock prevents it (:func:`locked_study`). Elsewhere the later one wins:
:class:`nas.study.Store` leaves its mark in the study, and the earlier one stops at its next trial.
"""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.cache import cache_dir
from core.errors import UserError, disk_advice, disk_errors, one_line
from core.locks import locked_file
from nas.storage_url import masked, sqlite_file, without_password, without_secrets_of

if TYPE_CHECKING:
    from optuna.storages import BaseStorage
    from optuna.storages.journal import JournalFileSymlinkLock

_STALE_AFTER = 3  # seconds, after which the lock of a killed process is broken; holders need milliseconds
_PATIENCE = 60  # seconds, for another process that creates the tables or writes a trial
_LIBRARIES = ("optuna", "sqlalchemy", "sqlite3")  # whose exceptions tell of the storage
_LONGEST_REASON = 200  # characters


@dataclass(frozen=True)
class Place:
    """Where a study is stored.

    Attributes:
        journal: the file, where there is no URL.
        url: of a database.
    """

    journal: Path
    url: str | None = None

    def __str__(self) -> str:
        """Return the file, or the URL without its password."""
        return str(self.journal) if self.url is None else f"storage {masked(self.url)!r}"

    def reason(self, error: BaseException) -> str:
        """Return another library's message on one line, without the password."""
        text = one_line(error) if self.url is None else without_secrets_of(self.url, one_line(error))
        return text[:_LONGEST_REASON]

    @contextmanager
    def errors(self, *, reading: bool = False) -> Iterator[None]:
        """Turn errors of the disk and of the database into a ``UserError`` that names this place.

        Args:
            reading: whether nothing is written.

        Raises:
            UserError: the disk is full, the database is gone or refuses a change.
        """
        try:
            yield
        except OSError as error:
            if reading:
                raise UserError(
                    f"{self} cannot be read: {error.strerror or self.reason(error)}"
                ) from error
            advice = disk_advice(error, self.journal) if self.url is None else None
            raise UserError(advice or f"{self} cannot be used: {self.reason(error)}") from error
        except Exception as error:
            if type(error).__module__.split(".")[0] not in _LIBRARIES:
                raise
            cause = error.__cause__ or error  # Optuna says "an exception is raised during the commit"
            raise UserError(f"{self} cannot be used: {self.reason(cause)}") from error


def open_storage(journal: Path, url: str | None) -> BaseStorage:
    """Open the journal file, or the database at ``url``, to write; it is created if it is missing.

    A journal whose last line was cut off by a kill is repaired. Call it while holding the run directory
    (:func:`core.locks.locked`). Of several processes that create one database, the others wait.

    Raises:
        UserError: the database cannot be opened, or the journal is damaged.
    """
    _quiet()
    place = Place(journal, url)
    if url is None:
        with place.errors():
            if journal.exists():
                _repair(journal)
            return _open_journal(journal)
    options = {} if sqlite_file(url) is None else {"connect_args": {"timeout": _PATIENCE}}
    with _held(_lock_file(url, ""), _PATIENCE, f"{place} is in use by another process; try again"):
        return _open_database(place, url, options)


def open_to_read(journal: Path, url: str | None) -> BaseStorage:
    """Open the journal file, or the database at ``url``, without changing or creating anything.

    Only of SQLite files is that certain; other databases are left to the rights of their user.

    Raises:
        UserError: it is missing or damaged, or cannot be opened.
    """
    _quiet()
    place = Place(journal, url)
    if url is None:
        if not journal.exists():
            raise UserError(f"{journal} does not exist; resume the search, or restore it from a copy")
        with place.errors(reading=True):
            return _open_journal(journal)
    file = sqlite_file(url)
    if file is None:
        return _open_database(place, url, {}, skip_table_creation=True)
    if not file.is_file():
        raise UserError(
            f"{place}: there is no such file (a relative one counts from where the search began)"
        )
    from sqlalchemy.pool import NullPool

    address = f"{file.resolve().as_uri()}?mode=ro"
    options = {
        "creator": lambda: sqlite3.connect(address, uri=True, timeout=_PATIENCE),
        "poolclass": NullPool,
    }
    return _open_database(place, "sqlite://", options, skip_table_creation=True)


@contextmanager
def locked_study(url: str | None, name: str) -> Iterator[None]:
    """Hold a study in a database for this process; one in a journal is held with its run directory.

    It covers all processes of this user on this machine and, for a SQLite file, whoever locks files on
    its disk.

    Raises:
        UserError: another process holds it.
    """
    if url is None:
        yield
        return
    busy = (
        f"study {name!r} in {Place(Path(), url)} is in use by another process; wait for it, or choose "
        "another run directory"
    )
    with _held(_lock_file(url, name), 0, busy):
        yield


def study_names(storage: BaseStorage) -> list[str]:
    """Return the names of the studies that the storage holds."""
    return [study.study_name for study in storage.get_all_studies()]


def _quiet() -> None:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)


def _open_database(place: Place, url: str, options: dict[str, Any], **more: Any) -> BaseStorage:
    import optuna

    try:
        database = optuna.storages.RDBStorage(url, engine_kwargs=options, **more)
        return optuna.storages.get_storage(database)
    except Exception as error:  # whatever the database driver raises
        raise UserError(f"{place} cannot be opened: {place.reason(error)}") from error


def _lock_file(url: str, name: str) -> Path | None:
    """Return the file to lock for a study, or for the whole storage where the name is empty.

    It lies beside a SQLite file, else in the cache. ``None``: the SQLite file has no directory yet.
    """
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:12] if name else "tables"
    file = sqlite_file(url)
    if file is None:
        storage = hashlib.sha256(without_password(url).encode("utf-8", "surrogatepass")).hexdigest()[:12]
        return cache_dir() / "locks" / f"{storage}-{digest}.lock"
    file = file.resolve()
    return file.with_name(f".{file.name}.{digest}.lock") if file.parent.is_dir() else None


@contextmanager
def _held(file: Path | None, seconds: float, busy: str) -> Iterator[None]:
    """Hold the lock on a file.

    Raises:
        UserError: another process holds it longer than ``seconds``, with the message ``busy``; the
            directory cannot be written.
    """
    if file is None:
        yield
        return
    with ExitStack() as held:
        with disk_errors(file):
            file.parent.mkdir(parents=True, exist_ok=True)
            held.enter_context(locked_file(file, busy, seconds))
        yield


def _open_journal(journal: Path) -> BaseStorage:
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


def _repair(journal: Path) -> None:
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
