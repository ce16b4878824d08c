"""The trained student in a run's page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from core.config_io import read_settings
from core.errors import UserError
from core.reading import read_text
from distill.student_metrics import NetworkRecord, SeedsRecord, StudentMetrics, read_student_metrics
from minnow.format import interval_text, latency_text, metric_text
from minnow.report.gallery import gallery_section
from minnow.report.plots import learning_figure
from minnow.report.rendering import Cell, Head, Row, Table, plot
from minnow.report.search_section import versions_text
from training.bundle import read_labels
from training.bundle_files import CONFIG_FILE, LABELS_FILE
from training.checksums import check_unchanged

_MATRIX = 60  # largest number of classes whose confusion matrix is shown
_CONFUSIONS = 10  # number of the most frequent ones to list


def student_section(folder: Path) -> dict[str, Any]:
    """Return the values of ``student.html.jinja``.

    Args:
        folder: directory of the student.

    Raises:
        UserError: a file in it is missing or damaged.
    """
    metrics, classes = read_student_metrics(folder), read_labels(folder / LABELS_FILE)
    if len(classes) != len(metrics.test.per_class_f1):
        raise UserError(
            f"{folder / LABELS_FILE} names {len(classes)} classes, but metrics.json beside it has the "
            f"scores of {len(metrics.test.per_class_f1)}; restore both from one training"
        )
    settings = read_settings(folder / CONFIG_FILE)
    for name in (LABELS_FILE, CONFIG_FILE):
        check_unchanged(folder / name)
    teacher, learning = metrics.teacher, learning_figure(metrics)
    supervision = "without a teacher" if teacher is None else f"with the teacher {teacher.name}"
    if (more := metrics.unlabelled) is not None:
        supervision += f" and {more.images - more.left_out:,} images without labels"
        supervision += f" ({more.left_out:,} more were left out: the teacher was unsure of them)"
    return {
        "training": f"Trained {supervision}, seed {metrics.seed}",
        "judged": _judged(metrics),
        "scores": _scores(metrics.network, teacher),
        "predicted": metrics.latency_ms.runtime if metrics.latency_ms.n == 0 else None,
        "seeds": None if metrics.seeds is None else _seeds(metrics.seeds),
        "seeds_text": "" if metrics.seeds is None else _seeds_text(metrics.seeds),
        "learning": None if learning is None else plot(learning, "learning", 340),
        "rollbacks": metrics.rollbacks,
        "classes": _per_class(metrics, classes),
        "names": classes,
        "confusions": _most_frequent(np.array(metrics.test.confusion), classes),
        "matrix": _matrix(np.array(metrics.test.confusion), classes) if len(classes) <= _MATRIX else None,
        "gallery": gallery_section(folder, settings.get("data")),
        "versions": versions_text(metrics.versions),
        "config": read_text(folder / CONFIG_FILE, "config file"),
    }


def _judged(metrics: StudentMetrics) -> str:
    """Return what the scores are of."""
    images = f"{sum(map(sum, metrics.test.confusion)):,} test images"
    if metrics.refit == "all":
        return f"it learned from every image, so the scores are the earlier student's, on {images}"
    scored = f"scores are of {images}, which took no part in any choice"
    if metrics.refit == "val":
        return (
            f"it learned from the validation images, too, whose score is the earlier student's; {scored}"
        )
    return scored


def student_facts(folder: Path) -> list[tuple[str, str]]:
    """Return the most important numbers of a student, each as name and text."""
    metrics = read_student_metrics(folder)
    low, high = metrics.test.f1_interval
    facts = [(f"student's test F1 ({low:.3f} to {high:.3f})", f"{metrics.test.f1:.3f}")]
    if metrics.teacher is not None:
        facts.append(("teacher's test F1", f"{metrics.teacher.f1:.3f}"))
    return facts


def _scores(student: NetworkRecord, teacher: NetworkRecord | None) -> Table:
    heads = ["test F1", "95 % interval", "accuracy", "balanced acc.", "val F1", "params", "MACs"]
    heads += ["latency (IQR)", "training"]
    rows = []
    for name, network in (("teacher", teacher), ("student", student)):
        if network is None:
            continue
        latency = network.latency_ms
        cells = [
            Cell(name, classes="left"),
            _score(network.f1),
            Cell(interval_text(*network.f1_interval)),
            *map(_score, (network.accuracy, network.balanced_accuracy, network.val_f1)),
            Cell(metric_text("params", network.params), value=network.params),
            Cell(metric_text("macs", network.macs), value=network.macs),
            Cell(latency_text(latency.median, latency.iqr, latency.n), value=latency.median),
            Cell(metric_text("train_seconds", network.seconds), value=network.seconds),
        ]
        rows.append(Row(cells, chosen=name == "student"))
    return Table("scores", [Head("", left=True), *map(Head, heads)], rows)


def _seeds(record: SeedsRecord) -> Table:
    rows = [
        Row([Cell(str(one.seed), value=one.seed), _score(one.test_f1), _score(one.val_f1)])
        for one in record.students
    ]
    return Table("seeds", [Head("seed"), Head("test F1"), Head("val F1")], rows, sortable=True)


def _seeds_text(record: SeedsRecord) -> str:
    mean = f"{record.test_f1_mean:.3f} ± {record.test_f1_sd:.3f}"
    return f"Test F1 {mean} (mean ± sd of {len(record.students)} seeds); kept: the best on validation."


def _per_class(metrics: StudentMetrics, classes: Sequence[str]) -> Table:
    teacher = metrics.teacher
    heads = ["images", "student", *(["teacher", "difference"] if teacher else [])]
    rows = []
    for index, name in enumerate(classes):
        f1, images = metrics.test.per_class_f1[index], sum(metrics.test.confusion[index])
        cells = [
            Cell(name, classes="text"),
            Cell(f"{images:,}", value=images),
            Cell(f"{f1:.3f}", value=f1, style=_bar(f1)),
        ]
        if teacher is not None:
            other = teacher.per_class_f1[index]
            cells.append(Cell(f"{other:.3f}", value=other, style=_bar(other)))
            cells.append(Cell(f"{f1 - other:+.3f}", value=f1 - other))
        rows.append(Row(cells))
    return Table("classes", [Head("class", left=True), *map(Head, heads)], rows, sortable=True)


def _most_frequent(counts: np.ndarray, classes: Sequence[str]) -> str:
    """Return the most frequent confusions as one line; empty if there is none."""
    wrong = counts * (1 - np.eye(len(classes), dtype=int))
    pairs = np.argsort(-wrong, axis=None, kind="stable")[:_CONFUSIONS]
    cells = [np.unravel_index(pair, wrong.shape) for pair in pairs]
    return ", ".join(
        f"{classes[true]} as {classes[predicted]} ({wrong[true, predicted]})"
        for true, predicted in cells
        if wrong[true, predicted] > 0
    )


def _matrix(counts: np.ndarray, classes: Sequence[str]) -> list[list[Cell]]:
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    return [
        [
            Cell(name, classes="name", hover=name),
            *(
                Cell(
                    str(counts[true, predicted]),
                    value=int(counts[true, predicted]),
                    style=_heat(float(shares[true, predicted]), right=true == predicted),
                    hover=f"{name} as {classes[predicted]}: {shares[true, predicted]:.0%}",
                )
                for predicted in range(len(classes))
            ),
        ]
        for true, name in enumerate(classes)
    ]


def _score(value: float) -> Cell:
    return Cell(f"{value:.3f}", value=value)


def _bar(share: float) -> str:
    """Return the style of a background that is filled up to ``share``."""
    end = f"{100 * share:.0f}%"
    return f"min-width:110px;background:linear-gradient(to right,#cfe3f3 {end},transparent {end})"


def _heat(share: float, *, right: bool) -> str:
    colour = "31,119,180" if right else "230,120,10"
    faded = ";color:#b8c1cc" if share == 0 else ""
    return f"background:rgba({colour},{0.06 + 0.6 * share if share else 0:.2f}){faded}"
