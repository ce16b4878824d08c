"""Comparison of two trained students on the same test images, by a paired bootstrap."""

from __future__ import annotations

import statistics
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from core.errors import UserError
from distill.seeds import has_unfinished_seeds, recorded_seeds, seed_path
from distill.student_metrics import read_student_metrics
from minnow.run_directory import student_config
from training.bootstrap import LEVEL, RESAMPLES, Comparison, Interval, compare_f1
from training.bundle_files import find_bundle
from training.predictions import PREDICTIONS, Predictions, read_predictions


@dataclass(frozen=True)
class ComparedStudents:
    """A student, or all students of a run.

    Attributes:
        given: directory that the user named.
        seeds: seed of each student.
        scores: test macro-F1 of each, in 0..1, as measured after its training.
        tables: predictions of each on the test images.
        stored: side in pixels and fit of the stored test images.
        pixels: digest of the stored test images.
    """

    given: Path
    seeds: list[int]
    scores: list[float]
    tables: list[Predictions]
    stored: tuple[int | None, str]
    pixels: str

    @property
    def predicted(self) -> np.ndarray:
        """Class indices, ``(seeds, images)``."""
        return np.stack([table.predicted for table in self.tables])

    @property
    def sd(self) -> float | None:
        """Standard deviation of the scores over the seeds; ``None`` for a single seed."""
        return statistics.stdev(self.scores) if len(self.scores) > 1 else None


@dataclass(frozen=True)
class StudentComparison:
    """The test macro-F1 of A and B, and the difference B - A.

    Attributes:
        a: students of the first directory.
        b: students of the second one.
        images: number of test images.
        bootstrap: intervals of both and of the difference, and its p-value.
    """

    a: ComparedStudents
    b: ComparedStudents
    images: int
    bootstrap: Comparison

    def to_dict(self) -> dict[str, Any]:
        """Return plain lists and numbers, ready for JSON."""
        return {
            "images": self.images,
            "resamples": RESAMPLES,
            "level": LEVEL,
            "a": _record(self.a, self.bootstrap.a),
            "b": _record(self.b, self.bootstrap.b),
            "difference": asdict(self.bootstrap.difference),
            "p": self.bootstrap.p,
        }


def compare_students(a: Path, b: Path) -> StudentComparison:
    """Compare two students, or all students of two runs, on their test images.

    Raises:
        UserError: there is no trained student, a file is missing or damaged, or the test images differ.
    """
    first, second = read_students(a), read_students(b)
    check_same_images(first, second)
    table = first.tables[0]
    bootstrap = compare_f1(table.labels, first.predicted, second.predicted, len(table.classes))
    return StudentComparison(first, second, len(table.files), bootstrap)


def read_students(given: Path) -> ComparedStudents:
    """Read a student, or the students of all seeds of a run.

    Raises:
        UserError: there is none, seeds are still to be trained, or a file is missing or damaged.
    """
    if has_unfinished_seeds(given):
        raise UserError(f"{given}: seeds are still to be trained; resume it with as many seeds as before")
    kept = find_bundle(given)
    own = read_student_metrics(kept)
    folders = [kept]
    if kept != given:
        folders = [kept if seed == own.seed else seed_path(given, seed) for seed in recorded_seeds(given)]
    metrics = [read_student_metrics(folder) for folder in folders]
    data = student_config(kept).data
    return ComparedStudents(
        given=given,
        seeds=[one.seed for one in metrics],
        scores=[one.test.f1 for one in metrics],
        tables=[read_predictions(folder / PREDICTIONS) for folder in folders],
        stored=(data.size, data.fit),
        pixels=own.test_pixels,
    )


def check_same_images(a: ComparedStudents, b: ComparedStudents) -> None:
    """Check that both were tested on the same images.

    Pixels are compared if both sides stored the images alike, else names and true classes only.

    Raises:
        UserError: classes, images or labels differ; names the first difference.
    """
    for side in (a, b):
        for table in side.tables:
            if difference := _difference(a.tables[0], table):
                raise UserError(
                    f"{a.given} and {side.given} were tested on different images: {difference}"
                )
    if a.stored == b.stored and a.pixels != b.pixels:
        raise UserError(
            f"{a.given} and {b.given} were tested on different images: the files have the same names, "
            "but other content"
        )


def _difference(a: Predictions, b: Predictions) -> str | None:
    """Return the first difference between the test images, or None."""
    if a.classes != b.classes:
        return f"the classes are {', '.join(a.classes)} and {', '.join(b.classes)}"
    if len(a.files) != len(b.files):
        return f"{len(a.files)} and {len(b.files)} images"
    if a.files != b.files:
        file = min(set(a.files) ^ set(b.files))
        return f"{file} is in only one of the two"
    for index in np.flatnonzero(a.labels != b.labels):
        labels = a.classes[a.labels[index]], b.classes[b.labels[index]]
        return f"{a.files[index]} is of class {labels[0]} and of class {labels[1]}"
    return None


def _record(students: ComparedStudents, interval: Interval) -> dict[str, Any]:
    return {
        "path": str(students.given),
        "seeds": students.seeds,
        "sd": students.sd,
        **asdict(interval),
    }
