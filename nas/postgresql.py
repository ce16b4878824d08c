"""PostgreSQL as the storage of a study: one connection that holds a lock on it, and its losses.

Every connection that writes a study holds an advisory lock of the server on it. The server releases the
lock when the connection ends, also by a SIGKILL of either side, and not before an unfinished transaction
has ended. So whoever holds the lock sees all that earlier connections wrote.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from core.errors import one_line

if TYPE_CHECKING:
    from sqlalchemy.engine import Engine, ExceptionContext

#: The driver notices within about a minute that the server's machine is gone, and the other way round.
_CLIENT_OPTIONS = {
    "connect_timeout": 10,  # seconds, like the next two
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 60_000,  # milliseconds
}
_SERVER_OPTIONS = {"tcp_keepalives_idle": 30, "tcp_keepalives_interval": 10, "tcp_keepalives_count": 3}
_LIBPQ = ("psycopg", "psycopg2")  # the drivers that take the client's options
_LOST = ("08", "57P")  # beginnings of SQLSTATE: connection exceptions, shutdown, start


class StorageAway(Exception):
    """The connection to the storage broke, or none can be made; the last change may be stored or not."""


class StudyTaken(Exception):
    """Another search holds the study, or has written it since; the message is the study's name."""


class StudyLock:
    """An advisory lock of the server on one study, held by the only connection of an engine.

    Args:
        study: its name.
    """

    def __init__(self, study: str) -> None:
        self._study = study
        self._session = f"minnow-{secrets.token_hex(8)}"

    def attach(self, engine: Engine) -> None:
        """Let the engine take the lock with every connection that it makes from now on.

        Its operations then raise :class:`StorageAway` where a connection is lost or cannot be made, and
        :class:`StudyTaken` where another search holds the lock.

        Args:
            engine: with a pool of one connection.
        """
        from sqlalchemy import event

        engine.dispose()
        event.listen(engine, "connect", self._take)
        event.listen(engine, "handle_error", _raise_if_lost)

    def _take(self, connection: Any, _record: object) -> None:
        cursor = connection.cursor()
        try:
            for name, value in _SERVER_OPTIONS.items():
                cursor.execute(f"SET {name} = {value}")
            cursor.execute(f"SET application_name = '{self._session}'")
            cursor.execute(f"SELECT pg_try_advisory_lock({_key(self._study)})")
            (taken,) = cursor.fetchone()
            ended = 0
            if not taken:  # the server may not have noticed that an earlier connection of ours is lost
                cursor.execute(
                    "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
                    f"WHERE application_name = '{self._session}' AND pid <> pg_backend_pid()"
                )
                (ended,) = cursor.fetchone()
            connection.commit()
        finally:
            cursor.close()
        if ended:
            raise StorageAway("it is ending the lost connection")
        if not taken:
            raise StudyTaken(self._study)


@contextmanager
def locked_tables(url: str, seconds: float) -> Iterator[None]:
    """Hold the lock on the creation of Optuna's tables.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: there is no server, or another process holds the lock longer than
            ``seconds``.
    """
    from sqlalchemy import create_engine, text

    with create_engine(url, **unpooled(url)).connect() as connection:
        connection.execute(text(f"SET lock_timeout = '{seconds:.0f}s'"))
        connection.execute(text(f"SELECT pg_advisory_lock({_key('')})"))
        connection.commit()
        yield


def unpooled(url: str) -> dict[str, Any]:
    """Return the options of an engine that keeps no connection open."""
    from sqlalchemy.pool import NullPool

    return {"connect_args": _client_options(url), "poolclass": NullPool}


def single_connection(url: str) -> dict[str, Any]:
    """Return the options of an engine with one connection, which is replaced when it is found lost."""
    pool = {"pool_size": 1, "max_overflow": 0, "pool_pre_ping": True}
    return {"connect_args": _client_options(url), **pool}


def _client_options(url: str) -> Mapping[str, int]:
    """Return the options of libpq that the URL does not set itself."""
    from sqlalchemy.engine import make_url

    parsed = make_url(url)
    if parsed.get_driver_name() not in _LIBPQ:
        return {}
    return {name: value for name, value in _CLIENT_OPTIONS.items() if name not in parsed.query}


def _key(study: str) -> str:
    """Return SQL for the lock's key, which differs between the schemas of a database."""
    digest = hashlib.sha256(f"minnow {study}".encode("utf-8", "surrogatepass")).digest()
    number = int.from_bytes(digest[:8], "big", signed=True)
    return f"hashtextextended(coalesce(current_schema(), ''), '{number}')"


def _raise_if_lost(context: ExceptionContext) -> None:
    """Raise :class:`StorageAway` in the place of an error that means a lost connection.

    Optuna repeats a failed creation of a trial, and would create it twice where only the answer was lost.
    It passes on errors that are not SQLAlchemy's.
    """
    if context.is_pre_ping or context.sqlalchemy_exception is None:  # the latter: Ctrl-C
        return
    state = getattr(context.original_exception, "sqlstate", None) or ""
    refused = context.connection is None and not state
    if context.is_disconnect or refused or state.startswith(_LOST):
        context.is_disconnect = True
        raise StorageAway(one_line(context.original_exception))
