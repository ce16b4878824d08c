"""``compare``: is one student better than another, or were only the test images kind to it?"""

from __future__ import annotations

import json
import statistics
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich import box
from rich.markup import escape
from rich.table import Table

from core.errors import UserError
from distill.seeds import has_unfinished_seeds, recorded_seeds, seed_path
from minnow.console import output, say
from minnow.format import interval_text, metric_text
from minnow.run_directory import student_config
from training.bootstrap import LEVEL, RESAMPLES, Comparison, Interval, compare_f1
from training.bundle import find_bundle, read_metrics
from training.predictions import PREDICTIONS, Predictions, read_predictions


@dataclass(frozen=True)
class Side:
    """A student, or all students of a run.

    Attributes:
        given: as the user named it.
        seeds: of the students.
        scores: test macro-F1 of each, as its training found it.
        tables: what each said about the test images.
        stored: how these were stored: side in pixels and fit.
        pixels: digest of them as stored.
    """

    given: Path
    seeds: list[int]
    scores: list[float]
    tables: list[Predictions]
    stored: tuple[int | None, str]
    pixels: str

    @property
    def predicted(self) -> np.ndarray:
        """``(seeds, images)`` class indices."""
        return np.stack([table.predicted for table in self.tables])


def compare_students(a: Path, b: Path, *, as_json: bool) -> dict[str, Any]:
    """Print the test macro-F1 of both, the difference B - A, and how sure it is.

    Raises:
        UserError: no trained student there, its predictions are missing, or the test images differ.
    """
    one, other = read_side(a), read_side(b)
    check_same_images(one, other)
    table = one.tables[0]
    found = compare_f1(table.labels, one.predicted, other.predicted, len(table.classes))
    result = {
        "images": len(table.files),
        "resamples": RESAMPLES,
        "level": LEVEL,
        "a": _record(one, found.a),
        "b": _record(other, found.b),
        "difference": asdict(found.difference),
        "p": found.p,
    }
    if as_json:
        output().print_json(json.dumps(result))
    else:
        output().print(_table(one, other, found))
        say(
            "Intervals and p say what other test images could have given with these weights; "
            "what other seeds could have given shows in the sd."
        )
    return result


def read_side(given: Path) -> Side:
    """A student, or the students of all seeds of a run.

    Raises:
        UserError: there is none, seeds are still to be trained, or a file is missing or damaged.
    """
    if has_unfinished_seeds(given):
        raise UserError(f"{given}: not all of its seeds are trained; go on with --resume and --seeds")
    kept = find_bundle(given)
    metrics = read_metrics(kept)
    places = [kept]
    if kept != given:
        own = metrics["seed"]
        places = [kept if seed == own else seed_path(given, seed) for seed in recorded_seeds(given)]
    every = [read_metrics(place) for place in places]
    tables = [
        read_predictions(place / PREDICTIONS) for place in places
    ]  # first: older students have none
    data = student_config(kept).data
    return Side(
        given=given,
        seeds=[one["seed"] for one in every],
        scores=[one["test"]["f1"] for one in every],
        tables=tables,
        stored=(data.size, data.fit),
        pixels=metrics["test_pixels"],
    )


def check_same_images(a: Side, b: Side) -> None:
    """Refuse what cannot be paired.

    Pixels are compared where both sides stored them alike, else names and true classes only.

    Raises:
        UserError: other classes, images or labels; says the first thing that differs.
    """
    for side in (a, b):
        for table in side.tables:
            if found := _difference(a.tables[0], table):
                raise UserError(f"{a.given} and {side.given} were tested on different images: {found}")
    if a.stored == b.stored and a.pixels != b.pixels:
        raise UserError(
            f"{a.given} and {b.given} were tested on different images: the files have the same names, "
            "but other content"
        )


def _difference(a: Predictions, b: Predictions) -> str | None:
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


def _record(side: Side, found: Interval) -> dict[str, Any]:
    return {
        "path": str(side.given),
        "seeds": side.seeds,
        "sd": statistics.stdev(side.scores) if len(side.scores) > 1 else None,
        **asdict(found),
    }


def _table(a: Side, b: Side, found: Comparison) -> Table:
    title = f"{len(a.tables[0].files)} test images, {RESAMPLES:,} paired resamples"
    table = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left")
    table.add_column("")
    for name in ("test F1", "95 % interval", "seeds", "sd", "p"):
        table.add_column(name, justify="right", no_wrap=True)
    for name, side, interval in (("A", a, found.a), ("B", b, found.b)):
        sd = _record(side, interval)["sd"]
        table.add_row(
            escape(f"{name}  {side.given}"),
            metric_text("f1", interval.value),
            interval_text(interval.low, interval.high),
            str(len(side.seeds)),
            "-" if sd is None else metric_text("f1", sd),
            "",
        )
    difference = found.difference
    table.add_row(
        "B - A",
        f"{difference.value:+.3f}",
        f"{difference.low:+.3f} to {difference.high:+.3f}",
        "",
        "",
        f"{found.p:.2g}",
        style="bold",
    )
    return table
