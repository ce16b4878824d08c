"""The program on a device: its messages, and what it may use there."""

from __future__ import annotations

import ast
import io
import json
from pathlib import Path

import pytest

from deploy.device import agent
from deploy.device.agent import _read, _write
from deploy.targets.base import RUNNERS

MESSAGE = {"do": "measure", "threads": 1}
PARTS = [b"", b"a\nb", bytes(range(256)) * 9000]


def written() -> bytes:
    stream = io.BytesIO()
    _write(stream, MESSAGE, PARTS)
    return stream.getvalue()


def test_a_message_is_read_as_it_was_written() -> None:
    stream = io.BytesIO(written() * 2)
    assert _read(stream, 0.0) == (MESSAGE, PARTS)
    assert _read(stream, 0.0) == (MESSAGE, PARTS)
    assert _read(stream, 0.0) is None


@pytest.mark.parametrize("kept", [0, 1, 20, -2_304_000, -5, -1])
def test_a_message_cut_short_is_the_end(kept: int) -> None:
    assert _read(io.BytesIO(written()[:kept]), 0.0) is None


def test_parts_come_after_their_sizes() -> None:
    header, _, rest = written().partition(b"\n")
    assert json.loads(header)["sizes"] == [len(part) for part in PARTS]
    assert rest == b"".join(PARTS)


def test_none_in_time_is_the_end() -> None:
    import os

    receiver, sender = os.pipe()
    with os.fdopen(receiver, "rb", 0) as stream, os.fdopen(sender, "wb"):
        assert _read(stream, 0.05) is None


@pytest.mark.parametrize("path", [Path(agent.__file__), *sorted(RUNNERS.glob("run_*.py"))])
def test_it_is_in_the_words_of_python_38(path: Path) -> None:
    ast.parse(path.read_text(), feature_version=(3, 8))
