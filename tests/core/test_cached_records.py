"""Files of the cache that are damaged are as good as missing."""

from __future__ import annotations

import logging
import zlib
from pathlib import Path

import pytest
from pydantic import BaseModel

from core.cached_records import file_crc32, read_cached, write_cached


class Record(BaseModel):
    name: str
    value: float


RECORD = {"name": "é", "value": 5.25}


def test_comes_back_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    assert read_cached(Record, path) is None
    write_cached(path, RECORD)
    assert read_cached(Record, path) == Record(**RECORD)


def test_no_flipped_bit_passes(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A bit in the name of the checksum's entry leaves a whole record, without a checksum."""
    path = tmp_path / "record.json"
    write_cached(path, RECORD)
    whole = path.read_bytes()
    for position in range(len(whole)):
        for bit in (0, 4):
            content = bytearray(whole)
            content[position] ^= 1 << bit
            path.write_bytes(content)
            assert read_cached(Record, path) in (None, Record(**RECORD))
    path.write_bytes(whole.replace(b"5.25", b"1.25"))
    with caplog.at_level(logging.DEBUG):
        caplog.clear()
        assert read_cached(Record, path) is None
    assert [record.levelno for record in caplog.records] == [logging.DEBUG]
    assert "checksum is wrong" in caplog.text and str(path) in caplog.text


@pytest.mark.parametrize("content", [b"", b"[]", b"null", b"{", b'{"name": 3}', b"[" * 5000, b"\xff"])
def test_another_shape_is_as_good_as_missing(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "record.json"
    path.write_bytes(content)
    assert read_cached(Record, path) is None


def test_a_record_of_before_there_were_checksums(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    path.write_text('{"name": "a", "value": 1}')
    assert read_cached(Record, path) == Record(name="a", value=1)


def test_crc_of_blocks_is_that_of_the_whole(tmp_path: Path) -> None:
    path = tmp_path / "blocks"
    path.write_bytes(bytes(range(256)) * 10_000)
    assert file_crc32(path) == zlib.crc32(path.read_bytes())
