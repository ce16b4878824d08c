"""Storage URLs: the same one with and without its password, and what is behind it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, unquote_plus

_SQLITE = re.compile(r"sqlite(\+pysqlite)?:///(?P<path>[^?#]+)", re.IGNORECASE)
_POSTGRESQL = re.compile(r"postgresql(?P<driver>\+\w+)?(?=://)", re.IGNORECASE)
_SECRET_NAMES = r"[\w.-]*(?:pass|pwd|secret|token|odbc_connect)[\w.-]*"
# As SQLAlchemy reads it, where a password may hold any sign but @, and beyond: no @ is left of the host.
_LOGIN = re.compile(
    r"(?P<before>\w[\w.+-]*://[^:/@\s]*)(?P<mark>:)(?P<secret>[^@\s]*(?:@[^@/?#\s]*)*)(?=@)"
)
_PARAMETER = re.compile(
    rf"(?P<before>[?&;]{_SECRET_NAMES})(?P<mark>=)(?P<secret>[^&;#\s]*)", re.IGNORECASE
)
_KEYWORD = re.compile(
    r"(?P<before>\b(?:password|passwd|pwd)\s*)(?P<mark>=)\s*(?P<secret>'[^']*'|[^\s;&]+)", re.IGNORECASE
)
_HIDDEN = "***"


def without_password(url: str) -> str:
    """Return the URL without its password and without parameters that hold one."""
    bare = _LOGIN.sub(r"\g<before>", url)
    place, mark, query = bare.partition("?")
    kept = [part for part in re.split("[&;]", query) if not re.match(rf"{_SECRET_NAMES}=", part, re.I)]
    return f"{place}{mark}{'&'.join(kept)}" if kept else place if mark else bare


def masked(text: str) -> str:
    """Return a text with ``***`` in the place of the password of every URL, and of ``password=...``."""
    for pattern in (_LOGIN, _PARAMETER, _KEYWORD):
        text = pattern.sub(rf"\g<before>\g<mark>{_HIDDEN}", text)
    return text


def without_secrets_of(url: str, text: str) -> str:
    """Return another library's text about a URL, with ``***`` wherever it quotes the password."""
    for secret in sorted(_secrets(url), key=len, reverse=True):
        text = text.replace(secret, _HIDDEN)
    return masked(text)


def has_password(url: str) -> bool:
    """Tell if a URL holds a password."""
    return any(_secrets(url))


def same_storage(one: str, other: str) -> bool:
    """Tell if two URLs are equal but for their passwords."""
    return without_password(one) == without_password(other)


def sqlite_file(url: str) -> Path | None:
    """Return the file of a plain SQLite URL; ``None``: another storage, or one in memory."""
    match = _SQLITE.fullmatch(url)
    if match is None or match["path"].startswith(("file:", ":memory:")):
        return None
    return Path(match["path"])


def postgresql_url(url: str | None) -> str | None:
    """Return the URL of a PostgreSQL database with its driver, psycopg by default.

    ``None``: it is another storage.
    """
    match = _POSTGRESQL.match(url or "")
    if url is None or match is None:
        return None
    return f"postgresql{(match['driver'] or '+psycopg').lower()}{url[match.end() :]}"


def _secrets(url: str) -> Iterator[str]:
    """Yield the passwords of a URL, as they are written and as they are meant."""
    for pattern in (_LOGIN, _PARAMETER):
        for match in pattern.finditer(url):
            if secret := match["secret"]:
                yield from dict.fromkeys((secret, unquote(secret), unquote_plus(secret)))
