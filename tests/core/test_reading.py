"""Files and values of strangers: every failure is one short line that names file and place."""

from __future__ import annotations

import itertools
import os
from pathlib import Path

import pytest
from pydantic import BaseModel

from core.errors import UserError, one_line, short
from core.reading import (
    HAND_WRITTEN,
    parse_yaml,
    read_bytes,
    read_json,
    read_lines,
    read_record,
    read_yaml,
)

LONG = 600  # characters of the longest message


def alias_bomb(levels: int = 9) -> str:
    """About 400 bytes that stand for 10**levels values."""
    names = "abcdefghij"[:levels]
    lines = ["a: &a [x, x, x, x, x, x, x, x, x, x]"]
    for before, name in itertools.pairwise(names):
        lines.append(f"{name}: &{name} [{', '.join([f'*{before}'] * 10)}]")
    return "\n".join(lines)


def merge_bomb() -> str:
    lines = ["a0: &a0 {x: 1}"]
    for level in range(1, 20):
        lines.append(f"a{level}: &a{level} {{<<: [{', '.join([f'*a{level - 1}'] * 9)}], k{level}: 1}}")
    return "\n".join(lines)


HOSTILE = {
    "!!int abc": "line 1, column 1: 'abc' is no int",
    "!!bool x": "line 1, column 1: 'x' is no bool",
    "a:\n  b: !!float z": "line 2, column 6: 'z' is no float",
    "!!timestamp abc": "timestamp",
    "!!binary x": "binary",
    "!!python/object/apply:os.system [id]": "could not determine a constructor",
    "1" * 5000: "a number of 5,000 characters",
    "0x" + "f" * 5000: "a number of 5,002 characters",
    ":".join(["1"] * 2000): "a number of 3,999 characters",
    "9" * 20: "more than 64 bits",
    "[" * 3000: "nested more than 100 levels deep",
    "- " * 3000: "nested more than 100 levels deep",
    "{a: " * 3000: "nested more than 100 levels deep",
    alias_bomb(): "more than 50,000 values",
    merge_bomb(): "more than 50,000 values",
    "&a [*a]": "an alias inside of what it stands for",
    ".nan": "'.nan' is no finite number",
    "1.0e+999": "is no finite number",
    "? [a]\n: b": "unhashable key",
    "a: b: c": "mapping values are not allowed here",
    "\x00": "special characters are not allowed",
    "*x": "undefined alias",
    "<<: 3": "expected a mapping",
    "!" + "x" * 100_000 + " 1": "could not determine a constructor",
    "a: [": "line 1, column 5",
}


@pytest.mark.parametrize(("text", "words"), HOSTILE.items(), ids=lambda text: text[:20])
def test_hostile_yaml_is_one_line_with_the_place(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "some.yaml"
    path.write_text(text)
    for read, name in (
        (lambda: read_yaml(path, "config file"), str(path)),
        (lambda: parse_yaml(text, "--set 'a'"), "--set 'a'"),
    ):
        with pytest.raises(UserError) as error:
            read()
        message = str(error.value)
        assert name in message and words in message
        assert "\n" not in message and len(message) < LONG + len(name)


def test_what_people_write_is_read_as_before() -> None:
    text = "a: 1_000\nb: 1:30\nc: yes\nd: ~\ne: 1.5e+3\nf: &f [1, x]\ng: *f\nh: {<<: {i: 1}, j: 2}\n"
    expected = {
        "a": 1000, "b": 90, "c": True, "d": None, "e": 1500.0,
        "f": [1, "x"], "g": [1, "x"], "h": {"i": 1, "j": 2},
    }  # fmt: skip
    assert parse_yaml(text, "here") == expected
    assert parse_yaml("", "here") is None


@pytest.mark.parametrize("date", ["2020-01-02", "2020-13-45"])
def test_a_date_is_a_text(date: str) -> None:
    assert parse_yaml(date, "here") == date


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"{", "not valid JSON"),
        (b"\xff\xfe\x00", "not valid JSON"),
        (b"[" * 100_000, "not valid JSON"),
        (b"[" * 150 + b"]" * 150, "nested more than 100 levels deep"),
        (b'{"a":' * 150 + b"1" + b"}" * 150, "nested more than 100 levels deep"),
        (b"1" * 5000, "not valid JSON"),
    ],
    ids=["cut", "no text", "brackets", "deep lists", "deep objects", "digits"],
)
def test_hostile_json_is_one_line(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "some.json"
    path.write_bytes(content)
    with pytest.raises(UserError) as error:
        read_json(path, "table", remedy="give another")
    message = str(error.value)
    assert message.startswith(f"table {path} cannot be read: ") and message.endswith("; give another")
    assert words in message and len(message) < LONG + len(str(path))


def test_what_is_no_regular_file_of_a_sensible_size(tmp_path: Path) -> None:
    large = tmp_path / "large"
    with large.open("wb") as file:
        file.truncate(HAND_WRITTEN + 1)  # sparse
    cases = {
        large: "files of this kind have at most 1 MB",
        tmp_path: "it is a directory",
        tmp_path / "none": "does not exist",
        tmp_path / "a\0b": "cannot be read",
    }
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "fifo")  # opening it would wait for a writer for ever
        (tmp_path / "loop").symlink_to("loop")
        cases |= {tmp_path / "fifo": "no regular file", tmp_path / "loop": "cannot be read"}
    for path, words in cases.items():
        with pytest.raises(UserError, match=words):
            read_bytes(path, "config file", limit=HAND_WRITTEN)


def test_a_device_is_not_read(tmp_path: Path) -> None:
    device = tmp_path / "zeros"
    try:
        os.mknod(device, 0o600 | 0o020000, os.makedev(1, 5))
        device.open("rb").close()
    except (AttributeError, OSError):
        pytest.skip("device nodes cannot be made here")
    with pytest.raises(UserError, match="no regular file"):
        read_bytes(device, "config file")


@pytest.mark.skipif(not Path("/dev/fd").exists(), reason="no /dev/fd")
def test_a_pipe_of_the_callers_own_is_read() -> None:
    reader, writer = os.pipe()
    os.write(writer, b"a: 1")
    os.close(writer)
    assert read_yaml(Path(f"/dev/fd/{reader}"), "config file") == {"a": 1}
    os.close(reader)


class Inner(BaseModel):
    count: int


class Outer(BaseModel):
    inner: list[Inner]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("3", "is damaged: "),
        ('{"inner": 3}', "inner: input should be a valid array, got 3"),
        ('{"inner": [{"count": 1}, {}]}', "inner.1.count: field required"),
        ('{"inner": [{"count": "' + "x" * 100_000 + '"}]}', "inner.0.count"),
        ("[" * 10_000, "is damaged: "),
    ],
)
def test_a_record_of_another_shape_is_one_line_with_the_entry(
    tmp_path: Path, content: str, words: str
) -> None:
    path = tmp_path / "record.json"
    path.write_text(content)
    with pytest.raises(UserError) as error:
        read_record(Outer, path, "", remedy="make it again")
    message = str(error.value)
    assert message.startswith(f"{path} is damaged: ") and words in message
    assert message.endswith("; make it again") and len(message) < LONG + len(str(path))


def test_a_line_that_is_no_object_is_named(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    assert read_lines(path) == []
    path.write_text('{"a": 1}\n{"a": 2}\n')
    assert read_lines(path) == [{"a": 1}, {"a": 2}]
    for line in ("[1]", "{", "\x00"):
        path.write_text(f'{{"a": 1}}\n{line}\n')
        with pytest.raises(UserError, match=r"rows\.jsonl is damaged: line 2"):
            read_lines(path)


def test_values_are_shortened_at_little_cost() -> None:
    nested: object = "x"
    for _ in range(40):
        nested = [nested] * 10  # as an alias bomb would be, 10**40 texts
    ring: list[object] = []
    ring.append(ring)
    for value in (nested, ring, "x" * 10**7, 10**5000, {"a": nested}, b"x" * 10**7, float("nan")):
        assert len(short(value)) <= 100 and "\n" not in short(value)
    assert short("a\nb") == r"'a\nb'" and short([1, None]) == "[1, None]"
    assert len(one_line(ValueError("x" * 10**6))) <= 300
