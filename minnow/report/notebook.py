"""Results as a notebook shows them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from minnow.format import interval_text, metric_text, title_of
from minnow.report.rendering import Cell, Head, Row, Table, render
from nas.selection import StudyResults

_SHOWN = ("f1", "params", "macs", "latency_ms")
_TEMPLATE = "notebook.html.jinja"


def run_html(results: StudyResults) -> str:
    """Return the Pareto front of a search as an HTML table."""
    names = list(dict.fromkeys([*results.objectives.named, *_SHOWN]))
    names = [name for name in names if all(name in (trial.metrics or {}) for trial in results.front)]
    rows = [
        Row(
            [Cell(str(trial.number)), *(_metric(name, trial.metrics or {}) for name in names)],
            chosen=results.best is not None and trial.number == results.best.number,
        )
        for trial in results.front
    ]
    predicted = results.latency_source is not None
    titles = [title_of(name, predicted=predicted) for name in names]
    table = Table("front", [Head("trial"), *map(Head, titles)], rows)
    title = f"Search in {results.name}: {len(results.trials)} trials, Pareto front ({results.objectives})"
    return render(_TEMPLATE, title=title, table=table)


def student_html(path: object, metrics: Mapping[str, Any]) -> str:
    """Return the test scores of a student, and of its teacher, as an HTML table.

    Args:
        path: directory of the student.
        metrics: content of ``metrics.json``.
    """
    student = {**metrics, **metrics["test"]}
    named = [("teacher", metrics["teacher"]), ("student", student)]
    rows = [
        Row(
            [
                Cell(name, classes="left"),
                Cell(metric_text("f1", scores["f1"])),
                Cell(interval_text(*scores["f1_interval"])),
                *(_metric(metric, scores) for metric in ("accuracy", "params", "macs")),
            ],
            chosen=name == "student",
        )
        for name, scores in named
        if scores is not None
    ]
    heads = ["test F1", "95 % interval", "accuracy", "params", "MACs"]
    table = Table("scores", [Head("", left=True), *map(Head, heads)], rows)
    return render(_TEMPLATE, title=f"Student in {path}", table=table)


def _metric(name: str, metrics: Mapping[str, Any]) -> Cell:
    return Cell(metric_text(name, metrics[name]), value=float(metrics[name]))
