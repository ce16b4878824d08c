"""Classify a file or a folder of images, and keep the result as a table."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from deploy.classifier import Classifier, Prediction
from nas.errors import UserError
from nas.files import write_bytes
from training.decode import EXTENSIONS
from training.files import csv_bytes, disk_errors


@dataclass(frozen=True)
class Row:
    """One file's result; either ``prediction`` or ``error`` is there.

    Attributes:
        file: its path.
        prediction: label and probabilities; ``None`` for a file that could not be read.
        error: why it could not be read, in one line.
        seconds: for reading and classifying it.
    """

    file: str
    prediction: Prediction | None
    error: str | None
    seconds: float

    @property
    def label(self) -> str:
        """The most probable class; empty for a broken file."""
        return self.prediction.label if self.prediction else ""

    @property
    def probability(self) -> float | None:
        """Its probability, 0..1; ``None`` for a broken file."""
        return self.prediction.probability if self.prediction else None


def find_images(path: str | Path) -> list[Path]:
    """The file itself, or every image under a directory, sorted by path.

    Hidden files and folders are left out, and so are files with other than image extensions.

    Raises:
        UserError: nothing is there, or no image is.
    """
    path = Path(path)
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise UserError(f"{path}: no such file or directory; give an image or a directory of images")
    found = []
    for folder, subfolders, names in os.walk(path):
        subfolders[:] = [name for name in subfolders if not name.startswith(".")]
        found += [
            Path(folder, name)
            for name in names
            if not name.startswith(".") and Path(name).suffix.lower() in EXTENSIONS
        ]
    if not found:
        known = " ".join(sorted(EXTENSIONS))
        raise UserError(f"{path}: no images in it; files are known by their ending: {known}")
    return sorted(found)


def predict_files(classifier: Classifier, path: str | Path) -> Iterator[Row]:
    """Classify an image or every image under a directory, one by one, in sorted order.

    A file that cannot be read gives a row with ``error`` and does not stop the rest.

    Raises:
        UserError: at once, before the first row: no image is there.
    """
    return (_row(classifier, file) for file in find_images(path))


def write_csv(rows: Iterable[Row], path: str | Path) -> None:
    """Write ``file, label, probability, error`` and ``p_CLASS`` for every class, one line per file.

    Raises:
        UserError: the disk is full or closed to this user.
    """
    path = Path(path)
    rows = list(rows)
    read = [row.prediction for row in rows if row.prediction]
    classes = list(read[0].probabilities) if read else []
    table: list[list[object]] = [
        ["file", "label", "probability", "error", *(f"p_{name}" for name in classes)]
    ]
    for row in rows:
        shown = row.prediction.probabilities if row.prediction else {}
        probability = "" if row.probability is None else f"{row.probability:.6f}"
        each = [f"{shown[name]:.6f}" if shown else "" for name in classes]
        table.append([row.file, row.label, probability, row.error or "", *each])
    with disk_errors(path):
        write_bytes(path, csv_bytes(table))


def _row(classifier: Classifier, file: Path) -> Row:
    start = time.perf_counter()
    try:
        prediction, error = classifier.predict(file)[0], None
    except UserError as problem:
        prediction, error = None, str(problem)
    return Row(str(file), prediction, error, time.perf_counter() - start)
