"""Predictions for a file or a folder of images, as tables."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from core.csv_table import cells_of, change_notice, csv_bytes, csv_text, path_cell
from core.errors import UserError
from core.files import write_bytes
from deploy.classifier import Classifier, Prediction
from deploy.device.agent import machine_name
from training.data.decode import EXTENSIONS, quiet_pillow, special_kind
from training.data.file_tree import FileTree, joined, named
from training.data.listing import NO_REMARKS, Remarks

_WARM_UP_RUNS = 3


@dataclass(frozen=True)
class FilePrediction:
    """The result for one file: either ``prediction`` or ``error`` is set.

    Attributes:
        file: its path.
        prediction: label and probabilities; ``None`` for an unreadable file.
        error: the one-line reason why the file is unreadable.
        seconds: for reading and classifying the file.
    """

    file: str
    prediction: Prediction | None
    error: str | None
    seconds: float

    @property
    def label(self) -> str:
        """The most probable class; empty for an unreadable file."""
        return self.prediction.label if self.prediction else ""

    @property
    def probability(self) -> float | None:
        """Its probability, 0..1; ``None`` for an unreadable file."""
        return self.prediction.probability if self.prediction else None


def find_images(path: str | Path) -> list[Path]:
    """Return the file itself, or every image under a directory, sorted by path.

    What is hidden, belongs to a system or is no regular file is left out, and so are files without an
    image's extension; :func:`left_out` names them.

    Raises:
        UserError: the path does not exist, is no regular file, or holds no image.
    """
    path = Path(path)
    if not path.is_dir():
        _check_file(path)
        return [path]
    images = sorted(
        path / joined(place, name) for place, folder in FileTree(path).walk() for name in folder.images
    )
    if not images:
        extensions = " ".join(sorted(EXTENSIONS))
        raise UserError(f"{path}: no images in it; image files have these extensions: {extensions}")
    return images


def left_out(path: str | Path) -> Remarks:
    """Return what :func:`find_images` leaves out of a directory, counted and named."""
    path = Path(path)
    if not path.is_dir():
        return NO_REMARKS
    tree = FileTree(path)
    others = sorted(joined(place, name) for place, folder in tree.walk() for name in folder.others)
    endings = f"not known as images by their ending ({len(others)}): {named(others)}"
    return tree.remarks() + Remarks(warnings=(endings,) if others else ())


def predict_files(classifier: Classifier, path: str | Path) -> Iterator[FilePrediction]:
    """Classify an image or every image under a directory, one by one, in sorted order.

    A few warm-up runs precede, so that the first image is not slower than the others. An unreadable file
    gives a result with ``error``, and the rest follows.

    Raises:
        UserError: at once, before the first result: the path holds no image.
    """
    files = find_images(path)
    grey = np.full((classifier.size, classifier.size, 3), 128, dtype=np.uint8)
    for _ in range(_WARM_UP_RUNS):
        classifier.predict(grey)
    return (_predict_file(classifier, file) for file in files)


def write_csv(results: Iterable[FilePrediction], path: str | Path) -> None:
    """Write ``file, label, probability, error`` and ``p_CLASS`` for every class, one line per file.

    Raises:
        UserError: the disk is full or not writable.
    """
    path = Path(path)
    results = list(results)
    predictions = [result.prediction for result in results if result.prediction]
    classes = list(predictions[0].probabilities) if predictions else []
    table: list[list[object]] = [
        ["file", "label", "probability", "error", *(f"p_{name}" for name in classes)]
    ]
    for result in results:
        by_class = result.prediction.probabilities if result.prediction else {}
        probability = "" if result.probability is None else f"{result.probability:.6f}"
        columns = [f"{by_class[name]:.6f}" if by_class else "" for name in classes]
        table.append([path_cell(result.file), result.label, probability, result.error or "", *columns])
    write_bytes(path, csv_bytes(table))


def write_submission(results: Iterable[FilePrediction], path: str | Path, root: str | Path) -> str | None:
    """Write ``file, class``, one line per file and nothing else.

    Files are named by their paths below ``root``, with ``/``. An unreadable file gets the most frequent
    class of the others, since graders require a class for every file.

    Args:
        results: for files in or below ``root``; at least one was readable.
        path: of the CSV file, UTF-8 without a byte order mark, which graders would read as a part of the
            first name.
        root: the directory, or the single file.

    Returns:
        The class of the unreadable files; ``None`` if there are none.

    Raises:
        UserError: the disk is full or not writable.
    """
    results, path = list(results), Path(path)
    majority = Counter(result.label for result in results if result.prediction).most_common(1)[0][0]
    lines = [
        (path_cell(name), result.label or majority)
        for result, name in zip(results, _names_below(results, root), strict=True)
    ]
    write_bytes(path, csv_text([("file", "class"), *lines]).encode())
    return majority if any(result.error for result in results) else None


def renamed_in_csv(results: Iterable[FilePrediction], root: str | Path | None) -> str | None:
    """Return one line about the names that a table has otherwise than the disk, or ``None``.

    Args:
        results: for the files.
        root: as for :func:`write_submission`; ``None``: the table is of :func:`write_csv`.
    """
    results = list(results)
    files = [result.file for result in results] if root is None else _names_below(results, root)
    return change_notice(cells_of(files, (result.label for result in results)))


def _names_below(results: Sequence[FilePrediction], root: str | Path) -> list[str]:
    """Return the paths of the files below ``root``, with ``/``."""
    root = Path(root)
    folder = root if root.is_dir() else root.parent
    return [Path(result.file).relative_to(folder).as_posix() for result in results]


@dataclass(frozen=True)
class Timing:
    """The time that the predictions for a folder took, from each file to its class.

    Attributes:
        images: number of classified files.
        unreadable: number of unreadable files.
        median_ms: per image, milliseconds.
        iqr_ms: distance between the quartiles, milliseconds.
        total_seconds: sum over all files, the unreadable ones included.
        included: description of the timed work and of the machine.
    """

    images: int
    unreadable: int
    median_ms: float
    iqr_ms: float
    total_seconds: float
    included: str

    @classmethod
    def of(cls, results: Sequence[FilePrediction]) -> Timing:
        """Summarise results, at least one of which has a prediction."""
        milliseconds = [result.seconds * 1000.0 for result in results if result.prediction]
        low, median, high = np.percentile(milliseconds, [25, 50, 75])
        unit = "thread" if torch.get_num_threads() == 1 else "threads"
        return cls(
            images=len(milliseconds),
            unreadable=len(results) - len(milliseconds),
            median_ms=float(median),
            iqr_ms=float(high - low),
            total_seconds=sum(result.seconds for result in results),
            included="reading and decoding the file, resizing, network, one image at a time "
            f"(PyTorch {torch.__version__}, {torch.get_num_threads()} {unit}, {machine_name()})",
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the content of a timing file."""
        return asdict(self)


def _check_file(path: Path) -> None:
    """Refuse a path that is neither a directory nor a regular file.

    Raises:
        UserError: says what it is.
    """
    try:
        kind = special_kind(path.stat().st_mode)
    except (OSError, ValueError):
        raise UserError(
            f"{path}: no such file or directory; give an image or a directory of images"
        ) from None
    if kind is not None:
        raise UserError(f"{path} is {kind}; give an image or a directory of images")


def _predict_file(classifier: Classifier, file: Path) -> FilePrediction:
    start = time.perf_counter()
    try:
        with quiet_pillow():
            prediction, error = classifier.predict(file)[0], None
    except UserError as failure:
        prediction, error = None, str(failure)
    return FilePrediction(str(file), prediction, error, time.perf_counter() - start)
