"""Content digests of files, remembered so that an unchanged file is not read again."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from core.cached_records import read_cached, write_cached
from core.runtime import ordered_map
from training.data.decode import open_file

_VERSION = 1
_UNREADABLE = "unreadable: "
# A file changed twice within the clock's granularity shows one time stamp; like git, a stamp this
# fresh is not believed.
_FRESH_NS = 2_000_000_000


class _Index(BaseModel):
    """Remembered stamps and digests; names may hold bytes that are no text, which ``str`` refuses."""

    version: Literal[1]
    files: dict[Any, tuple[Annotated[list[int], Field(min_length=3, max_length=3)], str]]


def digest_bytes(content: bytes) -> str:
    """Return the 128-bit BLAKE2b digest, in hexadecimal."""
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def content_digest(content: bytes | Path) -> str:
    """Return the digest of the content of a file, see :func:`training.data.decode.file_content`."""
    return digest_bytes(content) if isinstance(content, bytes) else _digest(content)


def is_digest(entry: str) -> bool:
    """Return whether an entry is a digest; the entry of an unreadable file is not."""
    return not entry.startswith(_UNREADABLE)


def digest_files(root: Path, names: Sequence[str], cache: Path) -> tuple[str, ...]:
    """Return the content digest of each of ``names`` under ``root``.

    A file whose size and time stamps are those of the last call is not opened: the index of
    ``root`` in ``cache`` remembers its digest.

    Raises:
        UserError: the index cannot be written.
    """
    index_path = _index_path(root, cache)
    known = _read_index(index_path)
    now = time.time_ns()
    stamps = [file_stamp(root / name) for name in names]
    digests = [
        known[name][1] if stamp is not None and name in known and known[name][0] == stamp else ""
        for name, stamp in zip(names, stamps, strict=True)
    ]
    unknown = [position for position, digest in enumerate(digests) if not digest]
    if not unknown and len(known) == len(names):
        return tuple(digests)

    read = ordered_map(lambda turn: _digest(root / names[unknown[turn]]), len(unknown))
    for position, digest in zip(unknown, read, strict=True):
        digests[position] = digest
    entries = {
        name: (stamp, digest)
        for name, stamp, digest in zip(names, stamps, digests, strict=True)
        if stamp is not None and is_digest(digest) and is_settled(stamp, now)
    }
    if entries != known:
        write_cached(index_path, {"version": _VERSION, "files": entries})
    return tuple(digests)


def forget_digests(root: Path, cache: Path) -> None:
    """Read every file again next time: a remembered digest has proved wrong."""
    _index_path(root, cache).unlink(missing_ok=True)


def _index_path(root: Path, cache: Path) -> Path:
    return cache / "index" / f"{digest_bytes(os.fsencode(root.resolve()))}.json"


def file_stamp(path: Path) -> list[int] | None:
    """Return size and time stamps of a file, which change with its content; ``None`` if there is none."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return [status.st_size, status.st_mtime_ns, status.st_ctime_ns]


def is_settled(stamp: Sequence[int], now: int) -> bool:
    """Return whether a change after a stamp would have changed it; ``now`` in nanoseconds."""
    return max(stamp[1:]) < now - _FRESH_NS


def _digest(path: Path) -> str:
    try:
        with open_file(path) as file:
            return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
    except OSError as error:
        return f"{_UNREADABLE}{error.strerror or error}"


def _read_index(path: Path) -> Mapping[str, tuple[list[int], str]]:
    """Return the remembered entries; none if the index is missing or damaged."""
    index = read_cached(_Index, path)
    return {} if index is None else index.files
