"""Cells of tables: harmless to spreadsheets, readable everywhere, and back again."""

from __future__ import annotations

import csv
import io
import os

import pytest

from core.csv_table import change_notice, csv_bytes, csv_text, path_cell, plain_path, text_cell

FORMULAS = [
    "=1+1",
    "+A1",
    "-A1",
    "@SUM(A1)",
    "\t=1",
    "\r=1",
    "\n=1",
    "=cmd|' /C calc'!A0",
    "\uff1d1",
    "'=1",
    "''@",
]
HARMLESS = [
    "cat",
    "naïve, dog",
    'a "quoted" cat',
    "",
    " =1",
    "a=1",
    "猫",
    "'quoted'",
    "p_=1",
    "-1",
    "+2.5",
    "-1e-05",
]


@pytest.mark.parametrize("text", FORMULAS)
def test_a_formula_is_a_text(text: str) -> None:
    assert text_cell(text) == f"'{text}"
    assert path_cell(text) == f"./{text}"
    assert plain_path(path_cell(text)) == text
    ((cell, path),) = csv.reader(io.StringIO(csv_text([[text, path_cell(text)]]), newline=""))
    assert (cell, path) == (f"'{text}", f"./{text}")


@pytest.mark.parametrize("text", HARMLESS)
def test_anything_else_stays(text: str) -> None:
    assert text_cell(text) == text
    assert plain_path(path_cell(text)) == text


def test_numbers_stay_numbers() -> None:
    assert csv_text([[-1, -2.5, "-3.5", None, True]]) == "-1,-2.5,-3.5,,True\r\n"
    assert path_cell("-1") == "./-1"


def test_cells_of_different_texts_differ() -> None:
    texts = [*FORMULAS, *HARMLESS, *(f"'{text}" for text in FORMULAS)]
    assert len({text_cell(text) for text in texts}) == len(set(texts))
    assert len({path_cell(text) for text in texts}) == len(set(texts))


def test_bytes_that_are_no_utf8_are_readable() -> None:
    name = os.fsdecode(b"caf\xe9.jpg")
    assert path_cell(name) == text_cell(name) == "caf\\xe9.jpg"
    assert text_cell("\ud83d") == "\\ud83d"
    assert csv_bytes([["file"], [name]]) == b"file\r\ncaf\\xe9.jpg\r\n"
    assert csv_bytes([["é"]]) == "\ufeffé\r\n".encode()


def test_pandas_reads_what_the_csv_module_reads() -> None:
    pandas = pytest.importorskip("pandas")
    names = [
        *FORMULAS,
        *HARMLESS,
        os.fsdecode(b"caf\xe9.jpg"),
        "NA",
        "None",
        "nan",
        "two\nlines",
        "a\tb",
        "a\rb",
    ]
    content = csv_bytes([["file", "label"], *([path_cell(name), name] for name in names)])
    rows = list(csv.DictReader(io.StringIO(content.decode("utf-8-sig"), newline="")))
    table = pandas.read_csv(io.BytesIO(content), keep_default_na=False, dtype=str)
    assert table.to_dict("records") == rows
    assert [row["label"] for row in rows] == [text_cell(name) for name in names]


def test_what_was_changed_is_one_line() -> None:
    names = {
        name: path_cell(name)
        for name in ("=a.png", "b.png", os.fsdecode(b"\xe9.png"), "@\n.png", "-x", "+y")
    }
    notice = change_notice(names)
    assert notice is not None
    assert "\n" not in notice
    assert notice.endswith(
        ": =a.png as ./=a.png, \ufffd.png as \\xe9.png, @\\x0a.png as ./@\\x0a.png and 2 more"
    )
    notice.encode()
    assert change_notice({"b.png": "b.png"}) is None
