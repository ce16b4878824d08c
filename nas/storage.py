"""Optuna storages: a journal file or a database, opened to write or to read, and their locks.

Two searches must not write one study (:func:`opened_study`). PostgreSQL itself prevents it. On one
machine, and on several that share the disk of a SQLite file, a file lock does. Elsewhere the later one
wins: :class:`nas.study.Store` leaves its mark in the study, and the earlier one stops at its next trial.
"""

from __future__ import annotations

import hashlib
import sqlite3
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.cache import cache_dir
from core.errors import UserError, disk_advice, disk_errors, one_line
from core.locks import locked_file
from nas.journal import open_journal, repair_journal
from nas.postgresql import (
    StorageAway,
    StudyLock,
    StudyTaken,
    locked_tables,
    single_connection,
    unpooled,
)
from nas.storage_url import masked, postgresql_url, sqlite_file, without_password, without_secrets_of

if TYPE_CHECKING:
    from optuna.storages import BaseStorage, RDBStorage

_PATIENCE = 60  # seconds, for another process that creates the tables or writes a trial
_GRACE = 2  # seconds, in which a server ends the connection of a killed process
_PAUSE = 0.05  # seconds between two tries
_LIBRARIES = ("optuna", "sqlalchemy", "sqlite3", "psycopg")  # whose exceptions tell of the storage
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
        if type(error).__module__.startswith("optuna.") and error.__cause__ is not None:
            error = error.__cause__  # Optuna says "an exception is raised during the commit"
        error = getattr(error, "orig", None) or error  # the driver's own words
        text = one_line(error) if self.url is None else without_secrets_of(self.url, one_line(error))
        return text[:_LONGEST_REASON]

    @contextmanager
    def errors(self, *, reading: bool = False) -> Iterator[None]:
        """Turn errors of the disk and of the database into a ``UserError`` that names this place.

        Args:
            reading: whether nothing is written.

        Raises:
            UserError: the disk is full, the database is gone or refuses a change, another search has
                taken over the study.
        """
        try:
            yield
        except StorageAway as error:
            raise UserError(f"{self} cannot be used: {self.reason(error)}") from error
        except StudyTaken as error:
            raise UserError(
                f"another search has taken over study {str(error)!r} in {self}, so this one stops; "
                "resume it when the other has ended"
            ) from error
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
            raise UserError(f"{self} cannot be used: {self.reason(error)}") from error


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
                repair_journal(journal)
            return open_journal(journal)
    if (address := postgresql_url(url)) is not None:
        with _opening(place), locked_tables(address, _PATIENCE):
            return _cached(_open_database(place, address, unpooled(address)))
    options = {} if sqlite_file(url) is None else {"connect_args": {"timeout": _PATIENCE}}
    with _held(_lock_file(url, ""), _PATIENCE, f"{place} is in use by another process; try again"):
        return _cached(_open_database(place, url, options))


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
            return open_journal(journal)
    file = sqlite_file(url)
    if file is None:
        server = postgresql_url(url)
        with _opening(place):
            options = {} if server is None else unpooled(server)
        return _cached(_open_database(place, server or url, options, skip_table_creation=True))
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
    return _cached(_open_database(place, "sqlite://", options, skip_table_creation=True))


@contextmanager
def opened_study(place: Place, name: str) -> Iterator[BaseStorage]:
    """Open a storage to write one study, and hold the study until the end.

    PostgreSQL holds it for one connection, through which this process reads and writes. That connection's
    loss raises :class:`nas.postgresql.StorageAway`; whoever repeats an operation then gets the next one,
    which holds the study again, or :class:`nas.postgresql.StudyTaken`.

    Raises:
        UserError: another process holds the study; the storage cannot be opened.
    """
    address = postgresql_url(place.url)
    if address is None:
        with locked_study(place.url, name):
            yield open_storage(place.journal, place.url)
        return
    open_storage(place.journal, place.url)
    # Optuna needs two connections to create and to check its tables, which has just been done.
    ready = {"skip_table_creation": True, "skip_compatibility_check": True}
    with _opening(place):
        database = _open_database(place, address, single_connection(address), **ready)
    try:
        StudyLock(name).attach(database.engine)
        with place.errors():
            _take(database, _busy(place, name))
        yield _cached(database)
    finally:
        database.engine.dispose()


def _take(database: RDBStorage, busy: str) -> None:
    """Connect, and so take the lock on the study.

    Raises:
        UserError: another process holds it, with the message ``busy``.
    """
    deadline = time.monotonic() + _GRACE
    while True:
        try:
            with database.engine.connect():
                return
        except StudyTaken:
            if time.monotonic() >= deadline:
                raise UserError(busy) from None
            time.sleep(_PAUSE)


@contextmanager
def locked_study(url: str | None, name: str) -> Iterator[None]:
    """Hold a study in a database by a file lock; one in a journal is held with its run directory.

    It covers all processes of this user on this machine and, for a SQLite file, whoever locks files on
    its disk.

    Raises:
        UserError: another process holds it.
    """
    if url is None:
        yield
        return
    with _held(_lock_file(url, name), 0, _busy(Place(Path(), url), name)):
        yield


def study_names(storage: BaseStorage) -> list[str]:
    """Return the names of the studies that the storage holds."""
    return [study.study_name for study in storage.get_all_studies()]


def _quiet() -> None:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)


def _busy(place: Place, name: str) -> str:
    return (
        f"study {name!r} in {place} is in use by another process; wait for it, or choose another run "
        "directory"
    )


def _open_database(place: Place, url: str, options: dict[str, Any], **more: Any) -> RDBStorage:
    import optuna

    with _opening(place):
        return optuna.storages.RDBStorage(url, engine_kwargs=options, **more)


def _cached(database: RDBStorage) -> BaseStorage:
    import optuna

    return optuna.storages.get_storage(database)


@contextmanager
def _opening(place: Place) -> Iterator[None]:
    """Turn whatever the libraries raise about a database into a ``UserError``."""
    try:
        yield
    except UserError:
        raise
    except ImportError as error:
        if "+psycopg:" not in (postgresql_url(place.url) or ""):
            raise UserError(f"{place} cannot be opened: {place.reason(error)}") from error
        raise UserError(
            f"{place} needs the package 'psycopg'; pip install 'minnow[postgresql]'"
        ) from error
    except Exception as error:
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
