"""Classify a file or a folder of images, and keep the result as a table."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from core.errors import UserError
from core.files import csv_bytes, csv_text, write_bytes
from deploy.architecture_latency import machine_name
from deploy.classifier import Classifier, Prediction
from training.data.decode import EXTENSIONS

_WARM_UP = 3


@dataclass(frozen=True)
class FilePrediction:
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
    found = [file for file in _files(path) if file.suffix.lower() in EXTENSIONS]
    if not found:
        known = " ".join(sorted(EXTENSIONS))
        raise UserError(f"{path}: no images in it; files are known by their ending: {known}")
    return found


def predict_files(classifier: Classifier, path: str | Path) -> Iterator[FilePrediction]:
    """Classify an image or every image under a directory, one by one, in sorted order.

    The network runs a few times before, so that the first row is not the one that waits for it. A file
    that cannot be read gives a row with ``error`` and does not stop the rest.

    Raises:
        UserError: at once, before the first row: no image is there.
    """
    files = find_images(path)
    grey = np.full((classifier.size, classifier.size, 3), 128, dtype=np.uint8)
    for _ in range(_WARM_UP):
        classifier.predict(grey)
    return (_row(classifier, file) for file in files)


def write_csv(rows: Iterable[FilePrediction], path: str | Path) -> None:
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
    write_bytes(path, csv_bytes(table))


def write_submission(rows: Iterable[FilePrediction], path: str | Path, root: str | Path) -> str | None:
    """Write ``file, class``, one line per file and nothing else.

    Files are named by their paths below ``root``, with ``/``. One that could not be read gets the class
    that most of the others have: graders want a class for every file.

    Args:
        rows: of files in or below ``root``; one at least could be read.
        path: the CSV file; UTF-8 without a mark, which graders take for a part of the first name.
        root: the directory, or the one file.

    Returns:
        The class of the files that could not be read; ``None`` where all could be.

    Raises:
        UserError: the disk is full or closed to this user.
    """
    rows, path, root = list(rows), Path(path), Path(root)
    below = root if root.is_dir() else root.parent
    usual = Counter(row.label for row in rows if row.prediction).most_common(1)[0][0]
    named = [(Path(row.file).relative_to(below).as_posix(), row.label or usual) for row in rows]
    text = csv_text([("file", "class"), *named])
    write_bytes(path, text.encode("utf-8", errors="surrogateescape"))
    return usual if any(row.error for row in rows) else None


@dataclass(frozen=True)
class Timing:
    """How long a folder took, from each file to its class.

    Attributes:
        images: that were read and classified.
        unreadable: files that could not be.
        median_ms: per image, milliseconds.
        iqr_ms: distance between the quartiles, milliseconds.
        total_seconds: sum over all files, those that could not be read included.
        included: what was timed.
    """

    images: int
    unreadable: int
    median_ms: float
    iqr_ms: float
    total_seconds: float
    included: str

    @classmethod
    def of(cls, rows: Sequence[FilePrediction]) -> Timing:
        """Of rows, one of which at least could be read."""
        read = [row.seconds * 1000.0 for row in rows if row.prediction]
        low, median, high = np.percentile(read, [25, 50, 75])
        unit = "thread" if torch.get_num_threads() == 1 else "threads"
        return cls(
            images=len(read),
            unreadable=len(rows) - len(read),
            median_ms=float(median),
            iqr_ms=float(high - low),
            total_seconds=sum(row.seconds for row in rows),
            included="reading and decoding the file, resizing, network, one image at a time "
            f"(PyTorch {torch.__version__}, {torch.get_num_threads()} {unit}, {machine_name()})",
        )

    def to_dict(self) -> dict[str, Any]:
        """As ``predict --timing`` writes it."""
        return asdict(self)


def other_files(path: str | Path) -> list[Path]:
    """What :func:`find_images` leaves out under a directory, hidden files and folders aside."""
    files = _files(path) if Path(path).is_dir() else []
    return [file for file in files if file.suffix.lower() not in EXTENSIONS]


def _files(directory: str | Path) -> list[Path]:
    """Every file under a directory but hidden ones and those in hidden folders, sorted.

    Links to folders are followed, after what is there itself; each folder is entered once.

    Raises:
        UserError: a folder cannot be read.
    """

    def refuse(error: OSError) -> None:
        raise UserError(f"{error.filename} cannot be read: {error.strerror}") from error

    found: list[Path] = []
    entered: set[tuple[int, int]] = set()
    for folder, subfolders, names in os.walk(directory, onerror=refuse, followlinks=True):
        status = os.stat(folder)
        if (status.st_dev, status.st_ino) in entered:
            subfolders.clear()
            continue
        entered.add((status.st_dev, status.st_ino))
        visible = [name for name in subfolders if not name.startswith(".")]
        subfolders[:] = sorted(visible, key=lambda name: (Path(folder, name).is_symlink(), name))
        found += [Path(folder, name) for name in names if not name.startswith(".")]
    return sorted(found)


def _row(classifier: Classifier, file: Path) -> FilePrediction:
    start = time.perf_counter()
    try:
        prediction, error = classifier.predict(file)[0], None
    except UserError as problem:
        prediction, error = None, str(problem)
    return FilePrediction(str(file), prediction, error, time.perf_counter() - start)
