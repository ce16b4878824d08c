"""Distrustful reading of files that anyone may have written, and of values that anyone may have typed.

Size, depth, aliases and the length of numbers are bounded. Every failure is a :class:`UserError` that
names the file and the place in it.
"""

from __future__ import annotations

import io
import json
import os
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from core.errors import UserError, cut, one_line, short

M = TypeVar("M", bound=BaseModel)

#: Largest sizes in bytes: of what people write by hand, of what programs write, of whole data sets.
HAND_WRITTEN, RECORD, DATA_SET = 1_000_000, 100_000_000, 1_000_000_000
MAX_DEPTH = 100  # of JSON
_LONGEST_ENTRY = 100  # characters of the name of an entry, in messages
_PIPES = ("/dev/stdin", "/dev/fd/", "/proc/self/fd/")  # which the caller of this process opened


def read_bytes(path: Path, what: str, *, limit: int = RECORD, remedy: str = "") -> bytes:
    """Return the content of a regular file.

    Args:
        path: of the file.
        what: name of the kind of file, for messages; may be empty.
        limit: largest size, bytes.
        remedy: what to do about a failure, for messages.

    Raises:
        UserError: missing, unreadable, too large, or a directory, a device or the like.
    """
    name, then = f"{what} {path}".strip(), f"; {remedy}" if remedy else ""
    too_large = f"{name} cannot be read: files of this kind have at most {limit / 1e6:,.0f} MB{then}"

    def check(status: os.stat_result) -> None:
        if stat.S_ISDIR(status.st_mode):
            raise UserError(f"{name} cannot be read: it is a directory{then}")
        if not stat.S_ISREG(status.st_mode) and not str(path).startswith(_PIPES):
            raise UserError(f"{name} cannot be read: it is no regular file{then}")
        if status.st_size > limit:
            raise UserError(too_large)

    try:
        with open_checked(path, check) as file:
            content = file.read(limit + 1)
    except FileNotFoundError:
        raise UserError(f"{name} does not exist{then}") from None
    except (OSError, ValueError, MemoryError) as error:  # ValueError: a NUL in the name
        reason = getattr(error, "strerror", None) or one_line(error)
        raise UserError(f"{name} cannot be read: {reason}{then}") from None
    if len(content) > limit:
        raise UserError(too_large)
    return content


@contextmanager
def open_checked(path: Path, check: Callable[[os.stat_result], None]) -> Iterator[io.BufferedReader]:
    """Open a file to read, without waiting for the other end of a pipe that takes its place meanwhile.

    Args:
        path: of the file.
        check: raises an error for what is not to be read; called before and after opening.

    Raises:
        OSError: missing, or not readable.
    """
    check(os.stat(path))
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    with open(os.open(path, flags), "rb") as file:
        check(os.fstat(file.fileno()))
        if hasattr(os, "O_NONBLOCK"):
            os.set_blocking(file.fileno(), True)
        yield file


def read_text(path: Path, what: str, *, limit: int = HAND_WRITTEN, remedy: str = "") -> str:
    """Return the text of a UTF-8 file, with the line endings of Unix; see :func:`read_bytes`."""
    content = read_bytes(path, what, limit=limit, remedy=remedy)
    try:
        return content.decode("utf-8").replace("\r\n", "\n").replace("\r", "\n")
    except UnicodeDecodeError as error:
        raise _failure(path, what, f"cannot be read: no UTF-8 text ({one_line(error)})", remedy) from None


def read_yaml(path: Path, what: str, *, limit: int = HAND_WRITTEN, remedy: str = "") -> Any:
    """Return the value in a YAML file; see :func:`read_bytes`."""
    text = read_text(path, what, limit=limit, remedy=remedy)
    with _valid("YAML", path, what, remedy):
        return _yaml(text)


def parse_yaml(text: str, where: str) -> Any:
    """Return the value of a YAML text that a person typed.

    Args:
        text: the YAML.
        where: names it in messages.

    Raises:
        UserError: malformed, or beyond a bound.
    """
    try:
        return _yaml(text)
    except ValueError as error:
        raise UserError(f"{where}: the value cannot be read as YAML: {error}") from None


def read_json(path: Path, what: str, *, limit: int = RECORD, remedy: str = "") -> Any:
    """Return the value in a JSON file; see :func:`read_bytes`."""
    content = read_bytes(path, what, limit=limit, remedy=remedy)
    with _valid("JSON", path, what, remedy):
        return _json(content)


def read_record(kind: type[M], path: Path, what: str, *, limit: int = RECORD, remedy: str = "") -> M:
    """Return the record in a JSON file; see :func:`read_bytes`.

    Args:
        kind: the model that it must fit.
        path: of the file.
        what: name of the kind of file, for messages; may be empty.
        limit: largest size, bytes.
        remedy: what to do about a failure, for messages.

    Raises:
        UserError: also where an entry is missing or wrong; names the first one.
    """
    content = read_bytes(path, what, limit=limit, remedy=remedy)
    try:
        return kind.model_validate_json(content)
    except ValidationError as error:
        reason = ": ".join(filter(None, ("is damaged", *first_fault(error))))
        raise _failure(path, what, reason, remedy) from None


def read_lines(path: Path, what: str = "", *, remedy: str = "") -> list[dict[str, Any]]:
    """Return the objects in a file of one JSON object per line; none if there is no file.

    Raises:
        UserError: see :func:`read_bytes`; names the line.
    """
    if not path.exists():
        return []
    records = []
    lines = read_bytes(path, what, remedy=remedy).rstrip().splitlines()
    for number, line in enumerate(lines, start=1):
        try:
            record = _json(line)
        except ValueError as error:
            reason = f"is damaged: line {number} is no JSON: {error}"
            raise _failure(path, what, reason, remedy) from None
        if not isinstance(record, dict):
            reason = f"is damaged: line {number} is {short(record)}, expected an object"
            raise _failure(path, what, reason, remedy)
        records.append(record)
    return records


def first_fault(error: ValidationError) -> tuple[str, str]:
    """Return the dotted name of the first wrong entry, empty for the whole, and what is wrong with it."""
    first = error.errors(include_url=False, include_context=False)[0]
    entry, message = ".".join(map(str, first["loc"])), first["msg"].removeprefix("Value error, ")
    entry = cut(entry, _LONGEST_ENTRY)
    message = " ".join(message.split())
    reason = f"{message[:1].lower()}{message[1:]}" if entry else message
    if entry and first["type"] not in ("missing", "value_error"):
        reason += f", got {short(first['input'])}"
    return entry, reason


def mapping(content: object, where: str, expected: str) -> Mapping[str, Any]:
    """Return ``content`` if it is a mapping.

    Raises:
        UserError: it is something else.
    """
    if not isinstance(content, Mapping):
        raise UserError(f"{where}: expected {expected}, got {short(content)}")
    return content


@contextmanager
def _valid(language: str, path: Path, what: str, remedy: str) -> Iterator[None]:
    """Turn what a parser raises about a file into one line."""
    try:
        yield
    except ValueError as error:
        raise _failure(path, what, f"cannot be read: not valid {language}: {error}", remedy) from None


def _failure(path: Path, what: str, reason: str, remedy: str) -> UserError:
    return UserError(f"{what} {path} {reason}".strip() + (f"; {remedy}" if remedy else ""))


def _yaml(text: str) -> Any:
    from core.yaml_loader import load

    return load(text)


def _json(content: bytes) -> Any:
    """Return the value of JSON.

    Raises:
        ValueError: malformed or nested too deep.
    """
    try:
        value = json.loads(content)
    except (ValueError, RecursionError, MemoryError) as error:
        raise ValueError(one_line(error)) from None
    level = [value]
    for _ in range(MAX_DEPTH + 1):
        containers = [node for node in level if isinstance(node, dict | list)]
        if not containers:
            return value
        level = [
            child for node in containers for child in (node.values() if isinstance(node, dict) else node)
        ]
    raise ValueError(f"nested more than {MAX_DEPTH} levels deep")
