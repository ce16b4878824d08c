"""The table of test predictions: other readers agree, damage is named."""

from __future__ import annotations

import csv
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.special import softmax

from core.errors import UserError
from training.predictions import pixels_digest, predictions_csv, read_predictions, renamed_in_csv


@pytest.fixture
def logits(some_digits) -> np.ndarray:
    shape = (len(some_digits.splits["test"]), 10)
    return np.random.default_rng(0).normal(0, 20, shape).astype(np.float32)


def test_a_plain_csv_reader_finds_names_and_probabilities(some_digits, logits, tmp_path):
    names = (*some_digits.classes[:8], "naïve, dog", 'a "quoted" cat')
    data = replace(some_digits, classes=names)
    images = data.splits["test"]
    (tmp_path / "p.csv").write_bytes(predictions_csv(logits, data, images))
    with (tmp_path / "p.csv").open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["file", "true", "predicted", *(f"p_{name}" for name in names)]
    assert [row["file"] for row in rows] == [data.files[index] for index in images]
    assert [row["true"] for row in rows] == [names[data.labels[index]] for index in images]
    assert [row["predicted"] for row in rows] == [names[index] for index in logits.argmax(axis=1)]
    values = np.array([[float(row[f"p_{name}"]) for name in names] for row in rows])
    np.testing.assert_allclose(values, softmax(logits.astype(float), axis=1), rtol=1e-5)
    assert values.min() > 0, "a log-loss can be computed"
    found = read_predictions(tmp_path / "p.csv")
    order = np.argsort([row["file"] for row in rows], kind="stable")
    np.testing.assert_array_equal(found.probabilities, values[order])
    assert found.classes == names and found.predicted.tolist() == [
        names.index(row["predicted"]) for row in sorted(rows, key=lambda row: row["file"])
    ]


def test_names_like_formulas_are_harmless_and_come_back(some_digits, logits, tmp_path):
    names = ("=1+1", "'=1+1", "-cat", "-1", "@dog", *some_digits.classes[5:])
    images = some_digits.splits["test"]
    files = list(some_digits.files)
    files[images[0]], files[images[1]] = "=cmd|' /C calc'!A0.png", os.fsdecode(b"caf\xe9.png")
    data = replace(some_digits, classes=names, files=tuple(files))
    path = tmp_path / "p.csv"
    path.write_bytes(predictions_csv(logits, data, images))
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    cells = {cell for row in rows for cell in row}
    assert [cell for cell in cells if cell[:1] in set("=+-@\t\r") and cell != "-1"] == []
    assert rows[1][0] == "./=cmd|' /C calc'!A0.png" and rows[2][0] == "caf\\xe9.png"
    found = read_predictions(path)
    assert found.classes == names
    assert found.files == tuple(sorted(files[i].replace("\udce9", "\\xe9") for i in images))
    order = np.argsort([files[i].replace("\udce9", "\\xe9") for i in images])
    assert np.array_equal(found.labels, data.labels[images][order])
    assert np.array_equal(found.predicted, logits.argmax(axis=1)[order])
    notice = renamed_in_csv(data, images)
    assert notice is not None and "=cmd|' /C calc'!A0.png as ./=cmd" in notice and "and 3 more" in notice
    assert renamed_in_csv(some_digits, images) is None


def test_tables_of_earlier_versions_are_read(tmp_path):
    """They have the names as they are."""
    (tmp_path / "p.csv").write_bytes(b"file,true,predicted,p_=a,p_b\n=1.png,=a,b,0.5,0.5\n")
    found = read_predictions(tmp_path / "p.csv")
    assert (found.classes, found.files, found.labels[0]) == (("=a", "b"), ("=1.png",), 0)


def test_the_order_of_lines_means_nothing(some_digits, logits, tmp_path):
    """A spreadsheet may have sorted them by another column."""
    content = predictions_csv(logits, some_digits, some_digits.splits["test"])
    header, *lines = content.splitlines(keepends=True)
    (tmp_path / "a.csv").write_bytes(content)
    (tmp_path / "b.csv").write_bytes(b"".join([header, *reversed(lines)]))
    a, b = read_predictions(tmp_path / "a.csv"), read_predictions(tmp_path / "b.csv")
    assert a.files == b.files and a.files == tuple(sorted(a.files))
    assert np.array_equal(a.labels, b.labels) and np.array_equal(a.predicted, b.predicted)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "does not exist"),
        (b"", "expected the columns"),
        (b"\xff\xfe\x00", "cannot be read"),
        (b"name,colour\na,b\n", "expected the columns file, true, predicted"),
        (b"file,true,predicted,p_a,p_b\n", "and images"),
        (b"file,true,predicted,p_a,p_b\n1,a,b,0.5,0.5\n2,a,c,0.5,0.5\n", "line 3"),
        (b"file,true,predicted,p_a,p_b\n1,a,b,0.5\n", "line 2"),
        (b"file,true,predicted,p_a,p_b\n1,a,b,0.5,nan\n", "line 2 has a probability that is none"),
        (b"file,true,predicted,p_a,p_b\n1,a,b,0.5,0.5\n2,a,b,x,0.5\n", "line 3 has a probability"),
    ],
)
def test_damage_is_one_line_that_names_the_file(tmp_path: Path, content, words):
    path = tmp_path / "p.csv"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match=words) as caught:
        read_predictions(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_the_digest_is_of_those_pixels(some_digits):
    test = some_digits.splits["test"]
    pixels = np.array(some_digits.images)
    assert pixels_digest(replace(some_digits, images=pixels), test) == pixels_digest(some_digits, test)
    pixels[some_digits.splits["train"]] = 0
    assert pixels_digest(replace(some_digits, images=pixels), test) == pixels_digest(some_digits, test)
    pixels[test[-1], 0, 0, 0] ^= 1
    assert pixels_digest(replace(some_digits, images=pixels), test) != pixels_digest(some_digits, test)
