"""Storage URLs without their passwords."""

from __future__ import annotations

from pathlib import Path

import pytest

from nas.storage_url import (
    has_password,
    masked,
    postgresql_url,
    same_storage,
    sqlite_file,
    without_password,
    without_secrets_of,
)

SECRETS = [
    ("postgresql://me:pass-phrase@db:5432/x", "postgresql://me@db:5432/x"),
    ("postgresql://me:a:b/c?d#e@db/x", "postgresql://me@db/x"),
    ("postgresql://me:a@b@db/x?sslmode=require", "postgresql://me@db/x?sslmode=require"),
    ("mysql+pymysql://db/x?user=me&password=secret", "mysql+pymysql://db/x?user=me"),
    ("redis://:secret@host:6379/0", "redis://@host:6379/0"),
    ("mssql+pyodbc:///?odbc_connect=DRIVER%3Dx%3BPWD%3Dsecret", "mssql+pyodbc:///"),
]
PLAIN = [
    *("sqlite:///study.db", "sqlite:////tmp/a:b@c.db", "postgresql://me@db/x", "postgresql://db:5432/x"),
    *("nonsense", ""),
]


@pytest.mark.parametrize(("url", "bare"), SECRETS)
def test_a_password_is_taken_out(url: str, bare: str) -> None:
    assert without_password(url) == bare
    assert has_password(url) and not has_password(bare)
    assert same_storage(url, bare)
    assert not same_storage(url, bare.replace("db", "other").replace("host", "other") + "y")


@pytest.mark.parametrize(("url", "bare"), SECRETS)
def test_a_password_is_masked_in_any_text(url: str, bare: str) -> None:
    for text in (masked(f"cannot open {url!r} now"), without_secrets_of(url, f"of {url}")):
        assert "***" in text
        for secret in ("secret", "pass-phrase", "a:b/c", "a@b"):
            assert secret not in text


@pytest.mark.parametrize("url", PLAIN)
def test_what_holds_no_password_stays(url: str) -> None:
    assert without_password(url) == masked(url) == url
    assert not has_password(url)


def test_another_library_may_quote_the_password_alone_or_decoded() -> None:
    url = "postgresql://me:pass%20phrase%21@db/x"
    said = without_secrets_of(url, "bad password 'pass phrase!' (pass%20phrase%21), password=other")
    assert said == "bad password '***' (***), password=***"


@pytest.mark.parametrize(
    ("url", "file"),
    [
        ("sqlite:///study.db", "study.db"),
        ("sqlite:////tmp/x/study.db", "/tmp/x/study.db"),
        ("sqlite+pysqlite:///a/study.db", "a/study.db"),
        ("sqlite://", None),
        ("sqlite:///:memory:", None),
        ("sqlite:///file:study.db?mode=rwc&uri=true", None),
        ("sqlite:///study.db?timeout=5", None),
        ("postgresql://me@db/x", None),
    ],
)
def test_only_a_plain_sqlite_url_names_a_file(url: str, file: str | None) -> None:
    assert sqlite_file(url) == (None if file is None else Path(file))


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("postgresql://me@db/x", "postgresql+psycopg://me@db/x"),
        ("PostgreSQL://me@db/x", "postgresql+psycopg://me@db/x"),
        ("postgresql+psycopg://me@/x?host=/run", "postgresql+psycopg://me@/x?host=/run"),
        ("postgresql+psycopg2://me@db/x", "postgresql+psycopg2://me@db/x"),
        ("mysql://me@db/postgresql://", None),
        (None, None),
    ],
)
def test_postgresql_has_a_driver_by_default(url: str | None, address: str | None) -> None:
    assert postgresql_url(url) == address
