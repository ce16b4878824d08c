"""The test score of a student with and without the test images that repeat training images."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from core.csv_table import path_cell, plain_path
from core.errors import UserError
from training.bootstrap import Interval, f1_interval
from training.data.check import Report
from training.data.images import ImageSet
from training.metrics import compute_metrics
from training.predictions import PREDICTIONS, read_predictions


@dataclass(frozen=True)
class RepeatedTest:
    """Test macro-F1 of a student with and without the test images that repeat training images.

    Attributes:
        images: test images.
        repeated: those with a duplicate or near-duplicate among the training images.
        all: F1 on all test images, with its 95 % interval.
        without: F1 on those that are not repeated; ``None`` where all or none are.
    """

    images: int
    repeated: int
    all: Interval
    without: Interval | None


def repeated_test(student: Path, data: ImageSet, report: Report) -> RepeatedTest:
    """Score the stored predictions of a student with and without repeated test images.

    Args:
        student: its directory.
        data: its images.
        report: of :func:`training.data.check.check_images` on them.

    Raises:
        UserError: the predictions are missing, damaged, or of other images.
    """
    probabilities = stored_probabilities(student, data)
    train, test = ([data.files[index] for index in data.splits[part]] for part in ("train", "test"))
    labels, repeated = data.labels[data.splits["test"]], report.repeated_in(test, train)

    def score(among: np.ndarray) -> Interval:
        predicted = probabilities[among].argmax(axis=1)
        return f1_interval(compute_metrics(labels[among], predicted, data.num_classes).confusion)

    everything = np.ones(len(test), dtype=bool)
    without = score(~repeated) if repeated.any() and not repeated.all() else None
    return RepeatedTest(len(test), int(repeated.sum()), score(everything), without)


def stored_probabilities(student: Path, data: ImageSet) -> np.ndarray:
    """Return the stored class probabilities ``(n, C)`` of the test images, in the order of the split.

    Raises:
        UserError: they are missing, damaged, or of other images.
    """
    stored = read_predictions(student / PREDICTIONS)
    row = {file: number for number, file in enumerate(stored.files)}
    names = [plain_path(path_cell(data.files[index])) for index in data.splits["test"]]
    if stored.classes != data.classes or not row.keys() >= set(names):
        raise UserError(
            f"{student / PREDICTIONS} has other images or classes than {data.spec}; train again"
        )
    return stored.probabilities[[row[name] for name in names]]
