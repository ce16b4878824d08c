"""Predictions of a student for every test image, as a table that other tools open.

``predictions.csv``: ``file`` (its name in the data set), ``true`` and ``predicted`` (class names), and
``p_CLASS`` for every class in the order of the logits, softmax probabilities with six significant
digits. Cells are those of :mod:`core.csv_table`.
"""

from __future__ import annotations

import csv
import hashlib
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from core.csv_table import cells_of, change_notice, csv_bytes, path_cell, plain_path, text_cell
from core.errors import UserError, one_line
from core.reading import DATA_SET, read_bytes
from training.checksums import check_unchanged
from training.data.images import ImageSet

PREDICTIONS = "predictions.csv"
_COLUMNS = ["file", "true", "predicted"]
_BATCH = 256


@dataclass(frozen=True)
class Predictions:
    """A table read back.

    Attributes:
        classes: names in the order of the logits.
        files: name of each image, ascending.
        labels: ``(n,)`` int64, true class of each.
        predicted: ``(n,)`` int64, predicted class of each.
        probabilities: ``(n, C)`` float64.
    """

    classes: tuple[str, ...]
    files: tuple[str, ...]
    labels: np.ndarray
    predicted: np.ndarray
    probabilities: np.ndarray


def predictions_csv(logits: np.ndarray, data: ImageSet, indices: np.ndarray) -> bytes:
    """Return the table of the logits ``(n, C)`` of the images ``indices``."""
    probabilities = torch.from_numpy(logits).double().softmax(dim=1).tolist()
    predicted = logits.argmax(axis=1)
    rows: list[list[object]] = [[*_COLUMNS, *(f"p_{name}" for name in data.classes)]]
    for index, guess, each in zip(indices, predicted, probabilities, strict=True):
        true = data.classes[data.labels[index]]
        rows.append(
            [path_cell(data.files[index]), true, data.classes[guess], *(f"{p:.6g}" for p in each)]
        )
    return csv_bytes(rows)


def renamed_in_csv(data: ImageSet, indices: np.ndarray) -> str | None:
    """Return one line about the names that :func:`predictions_csv` writes differently, or ``None``."""
    return change_notice(cells_of((data.files[index] for index in indices), data.classes))


def read_predictions(path: Path) -> Predictions:
    """Read the table that :func:`predictions_csv` wrote.

    Raises:
        UserError: missing, damaged or changed; names the file.
    """
    remedy = "it is written when a student is trained; train it again"
    content = read_bytes(path, "", limit=DATA_SET, remedy=remedy)
    try:
        rows = list(csv.reader(io.StringIO(content.decode("utf-8-sig"), newline="")))
    except (ValueError, csv.Error) as error:
        raise UserError(f"{path} cannot be read: {one_line(error)}; train it again") from None
    header = rows.pop(0) if rows else []
    classes = tuple(name.removeprefix("p_") for name in header[len(_COLUMNS) :])
    number = {name: index for index, name in enumerate(classes)}
    number |= {text_cell(name): index for name, index in number.items()}
    if header[: len(_COLUMNS)] != _COLUMNS or not rows:
        raise UserError(f"{path} is damaged: expected the columns {', '.join(_COLUMNS)} and images")
    for line, row in enumerate(rows, start=2):
        if len(row) != len(header) or row[1] not in number or row[2] not in number:
            raise UserError(f"{path} is damaged: line {line} does not fit its header")
        if not all(_is_share(cell) for cell in row[len(_COLUMNS) :]):
            raise UserError(f"{path} is damaged: line {line} has a probability that is none")
    check_unchanged(path, limit=DATA_SET)
    rows.sort(key=lambda row: (plain_path(row[0]), number[row[1]]))
    return Predictions(
        classes=classes,
        files=tuple(plain_path(row[0]) for row in rows),
        labels=np.array([number[row[1]] for row in rows]),
        predicted=np.array([number[row[2]] for row in rows]),
        probabilities=np.array([row[len(_COLUMNS) :] for row in rows], dtype=np.float64),
    )


def _is_share(cell: str) -> bool:
    try:
        return 0 <= float(cell) <= 1  # NaN neither
    except ValueError:
        return False


def pixels_digest(data: ImageSet, indices: np.ndarray) -> str:
    """Return a digest of stored pixels, in order; it tells sets apart whose files have the same names."""
    key = hashlib.blake2b(digest_size=16)
    for start in range(0, len(indices), _BATCH):
        key.update(data.images[indices[start : start + _BATCH]].tobytes())
    return key.hexdigest()
