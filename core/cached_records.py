"""Records in files of the cache: sealed with a checksum, and made again where they are damaged."""

from __future__ import annotations

import hashlib
import json
import logging
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from core.errors import UserError
from core.files import write_text
from core.reading import DATA_SET, first_fault, mapping, read_json

M = TypeVar("M", bound=BaseModel)
_SEAL = "checksum"  # entry with the digest of all others
_BLOCK = 1 << 20

log = logging.getLogger(__name__)


def write_cached(path: Path, content: Mapping[str, Any]) -> None:
    """Write a record of plain data as JSON, with a checksum.

    Raises:
        UserError: the disk is full or read-only.
    """
    write_text(path, json.dumps({**content, _SEAL: record_digest(content)}) + "\n")


def read_cached(kind: type[M], path: Path) -> M | None:
    """Return the record in ``path``; ``None`` if it is missing or damaged, so that it is made again.

    A record without a checksum is accepted if it fits the model.
    """
    if not path.exists():
        return None
    try:
        content = dict(mapping(read_json(path, "", limit=DATA_SET), str(path), "a record"))
        seal = content.pop(_SEAL, None)
        if seal not in (None, record_digest(content)):
            raise UserError(f"{path}: its checksum is wrong")
        return kind.model_validate(content)
    except ValidationError as error:
        damaged(path, ": ".join(first_fault(error)))
    except UserError as error:
        damaged(path, str(error))
    return None


def damaged(path: Path, reason: str) -> None:
    """Leave a debug line about a file of the cache that is made again."""
    log.debug("%s of the cache is damaged and made again: %s", path, reason)


def file_crc32(path: Path) -> int:
    """Return the CRC-32 of a file, which is read in blocks; it takes about 0.7 seconds per GB.

    Raises:
        OSError: it cannot be read.
    """
    crc = 0
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            crc = zlib.crc32(block, crc)
    return crc


def record_digest(content: Mapping[str, Any]) -> str:
    """Return the hexadecimal digest of plain data, whatever the order of its keys."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
