"""``data check --run``: wrong labels are found by what did not train on them, and repeats leave the score."""

from __future__ import annotations

import csv
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import f1_score

from core.errors import UserError
from minnow import label_check
from minnow.label_check import (
    Evidence,
    check_labels,
    errors_csv,
    label_errors,
    mean_evidence,
)
from minnow.repeated_images import repeated_test, stored_probabilities
from training.data.check import check_images
from training.data.images import open_images
from training.predictions import predictions_csv


@pytest.fixture
def alone(here, finished) -> Path:
    return Path(shutil.copytree(finished / "runs/alone", here / "alone"))


def write_coloured(root: Path, wrong: int) -> list[str]:
    """Write 40 reddish and 40 bluish images of noise, and return the names of those in the wrong folder."""
    rng, misplaced = np.random.default_rng(0), []
    for number in range(80):
        red, mistaken = number % 2 == 0, number < wrong
        file = f"{'red' if red != mistaken else 'blue'}/{number:02d}.png"
        pixels = rng.integers(128, size=(40, 48, 3), dtype=np.uint8)
        pixels[..., 0 if red else 2] += 100
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(root / file)
        misplaced += [file] * mistaken
    return misplaced


def test_from_the_command_line(here, finished, minnow):
    misplaced = write_coloured(here / "photos", 4)
    trained = minnow(f"train --model {finished}/runs/found --data photos --epochs 1 --out runs/coloured")
    assert trained.code == 0
    said = minnow("data check --run runs/coloured --out tables")
    assert said.code == 0
    assert "0 of them have a duplicate" in said.output and "labels may be wrong" in said.output
    rows = list(csv.DictReader(Path("tables/label_errors.csv").read_text().splitlines()))
    assert list(rows[0]) == ["file", "split", "given", "suggested", "confidence", "sources"]
    assert len({row["file"] for row in rows} & set(misplaced)) >= 3 and len(rows) < 12
    for row in rows:
        held_out = row["split"] != "train"
        assert row["sources"] == ("heads student" if held_out else "heads")
    page = Path("tables/label_errors.html").read_text()
    files = [row["file"] for row in rows]
    assert re.findall(r'<img src="data:image/webp;base64,[^"]*" alt="([^"]*)"', page) == files
    assert re.findall(r'<tr><td class="text">([^<]*)', page) == files
    for path in sorted(Path("photos/blue").iterdir()):
        Image.new("RGB", (40, 40), "blue").save(path)
    assert "has other images than when" in minnow("data check --run runs/coloured").complaint


def some_evidence(data, rng) -> Evidence:
    """A classifier of all images that is right, with a margin that differs."""
    truth = np.eye(10)[data.labels] * rng.uniform(2, 4, (len(data.labels), 1))
    probabilities = np.exp(truth) / np.exp(truth).sum(axis=1, keepdims=True)
    return Evidence("heads", np.arange(len(data.labels)), probabilities)


def test_flips_are_reported_with_their_true_class(digits):
    rng = np.random.default_rng(0)
    evidence = some_evidence(digits, rng)
    flips = rng.choice(1797, 40, replace=False)
    labels = digits.labels.copy()
    labels[flips] = (labels[flips] + rng.integers(1, 10, 40)) % 10
    wrong = replace(digits, labels=labels)
    test = digits.splits["test"]
    student = Evidence("student", test, evidence.probabilities[test])
    errors = label_errors(wrong, [evidence, student])
    found = {error.file for error in errors}
    assert len(found & {digits.files[index] for index in flips}) >= 25 and len(found) <= 40
    for error in errors:
        index = digits.files.index(error.file)
        if index not in flips:
            continue
        assert error.suggested == digits.classes[digits.labels[index]]
        assert error.given == digits.classes[labels[index]]
        assert index in digits.splits[error.split]
        assert error.sources == (("heads", "student") if error.split == "test" else ("heads",))
        assert error.confidence == pytest.approx(evidence.probabilities[index].max())


def test_the_mean_is_over_the_sources_that_an_image_has():
    heads = Evidence("heads", np.array([0, 1, 2]), np.array([[1.0, 0], [0.5, 0.5], [0, 1]]))
    student = Evidence("student", np.array([2, 0]), np.array([[0.5, 0.5], [0.2, 0.8]]))
    images, probabilities = mean_evidence([heads, student])
    assert images.tolist() == [0, 1, 2]
    np.testing.assert_allclose(probabilities, [[0.6, 0.4], [0.5, 0.5], [0.25, 0.75]])


def test_repeated_test_images_leave_the_score(tmp_path, write_images, own_cache):
    """Against scikit-learn's F1 without the copies."""
    folders = {f"{part}/{name}": 12 for part in ("train", "val", "test") for name in "ab"}
    root = write_images(tmp_path / "set", folders, (64, 48))
    for index in range(4):
        shutil.copy(root / f"train/a/{index:03d}.png", root / f"test/a/{index:03d}.png")
    report, data = check_images(str(root)), open_images(str(root))
    test = data.splits["test"]
    logits = np.random.default_rng(0).normal(size=(24, 2)).astype(np.float32)
    logits[:4] = [5, -5]  # the copies, known by heart
    (tmp_path / "predictions.csv").write_bytes(predictions_csv(logits, data, test))
    found = repeated_test(tmp_path, data, report)
    assert (found.images, found.repeated) == (24, 4) and found.without is not None
    labels, guesses = data.labels[test], logits.argmax(axis=1)
    assert found.all.value == pytest.approx(f1_score(labels, guesses, average="macro"))
    assert found.without.value == pytest.approx(f1_score(labels[4:], guesses[4:], average="macro"))
    assert found.without.low < found.without.value < found.without.high


def test_predictions_of_other_images(tmp_path, digits):
    test = digits.splits["test"]
    logits = np.zeros((len(test) - 1, 10), np.float32)
    (tmp_path / "predictions.csv").write_bytes(predictions_csv(logits, digits, test[1:]))
    with pytest.raises(UserError, match="other images or classes than digits; train again"):
        stored_probabilities(tmp_path, digits)


def test_a_student_that_saw_the_validation_images_is_no_evidence(alone):
    path = alone / "student/metrics.json"
    path.write_text(path.read_text().replace('"seed":', '"refit": "val",\n  "seed":', 1))
    with pytest.raises(UserError, match="trained on its validation images too"):
        check_labels(alone)


def test_a_table_for_spreadsheets():
    error = label_check.LabelError("=a/1.png", "train", "=a", "b", 0.98765, ("heads", "teacher"))
    text = errors_csv([error]).decode()
    assert text.splitlines()[1] == "./=a/1.png,train,'=a,b,0.9877,heads teacher"


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("data check", "needs a data set"),
        ("data check digits --run alone", "looks at the data of the run"),
        ("data check --run alone --fit pad", "looks at the data of the run"),
        ("data check digits --out tables", "--out is for the tables of --run"),
        ("data check --run nowhere", "nowhere"),
    ],
)
def test_misuse_is_one_line(alone, minnow, line, words):
    assert words in minnow(line).complaint


def test_a_check_without_a_run_needs_no_torch() -> None:
    code = "import sys, minnow.data_run; print('torch' in sys.modules)"
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "False\n"
    )
