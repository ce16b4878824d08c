"""The part of a run's page that tells of its trained student."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from minnow.format import interval_text, metric_text
from minnow.report.html import cell, plot, table, text
from minnow.report.plots import learning
from training.bundle import LABELS_FILE, read_labels, read_metrics

_MATRIX = 60  # classes, up to which the whole confusion matrix is shown
_CONFUSIONS = 10  # of the most frequent ones


def trained(student: Path) -> list[str]:
    """What a student scores on the test images, against its teacher, and how it learned.

    Args:
        student: its directory.

    Raises:
        UserError: a file in it is missing or damaged.
    """
    metrics, classes = read_metrics(student), read_labels(student / LABELS_FILE)
    teacher = metrics["teacher"]
    how = "without a teacher" if teacher is None else f"with the teacher {teacher['name']}"
    seed = metrics["seed"]
    images = sum(map(sum, metrics["test"]["confusion"]))
    parts = [
        "<h2>Trained student</h2>",
        f"<p>{text(f'Trained {how}, seed {seed}; scores are of {images:,} test images')}, which took no "
        "part in any choice. Intervals say what other test images could have given.</p>",
        _scores(metrics, teacher),
        *_seeds(metrics.get("seeds")),
        "<h3>Learning</h3>",
        plot(learning(metrics, teacher), "learning", 340),
    ]
    for one in metrics["rollbacks"]:
        again = f"epoch {one['epoch']} repeated: {one['error']}"
        parts.append(f'<p class="warn">{text(again)}</p>')
    parts += ["<h3>F1 per class</h3>", _per_class(metrics["test"], teacher, classes)]
    return [*parts, *_confused(metrics["test"]["confusion"], classes)]


def _scores(metrics: Mapping[str, Any], teacher: Mapping[str, Any] | None) -> str:
    heads = ["<", "test F1", "95 % interval", "accuracy", "balanced acc.", "val F1", "params", "MACs"]
    heads += ["latency (IQR)", "training"]
    student = {**metrics, **metrics["test"], "val_f1": metrics["val"]["f1"]}
    rows = []
    for name, kind, one in (("teacher", "", teacher), ("student", "chosen", student)):
        if one is None:
            continue
        latency = one["latency_ms"]
        scores = [cell(f"{one['f1']:.3f}", value=one["f1"]), cell(interval_text(*one["f1_interval"]))]
        scores += [
            cell(metric_text(key, one[key]), value=one[key])
            for key in ("accuracy", "balanced_accuracy", "val_f1", "params", "macs")
        ]
        spread = cell(f"{latency['median']:.2f} ({latency['iqr']:.2f}) ms", value=latency["median"])
        training = cell(metric_text("train_seconds", one["seconds"]), value=one["seconds"])
        rows.append((kind, [cell(name, kind="left"), *scores, spread, training]))
    return table(heads, rows, name="scores")


def _seeds(record: Mapping[str, Any] | None) -> list[str]:
    if record is None:
        return []
    rows = [
        (
            "",
            [
                cell(str(one["seed"]), value=one["seed"]),
                cell(metric_text("f1", one["test_f1"]), value=one["test_f1"]),
                cell(metric_text("f1", one["val_f1"]), value=one["val_f1"]),
            ],
        )
        for one in record["students"]
    ]
    mean = f"{record['test_f1_mean']:.3f} ± {record['test_f1_sd']:.3f}"
    return [
        "<h3>Seeds</h3>",
        f"<p>Test F1 {mean} (mean ± sd of {len(rows)} seeds); kept: the best on validation.</p>",
        table(["seed", "test F1", "val F1"], rows, name="seeds", sortable=True),
    ]


def _per_class(test: Mapping[str, Any], teacher: Mapping[str, Any] | None, classes: Sequence[str]) -> str:
    heads = ["<class", "images", "student", *(["teacher", "difference"] if teacher else [])]
    rows = []
    for index, name in enumerate(classes):
        own = test["per_class_f1"][index]
        cells = [
            cell(name, kind="text"),
            cell(f"{sum(test['confusion'][index]):,}", value=sum(test["confusion"][index])),
            cell(f"{own:.3f}", value=own, style=_bar(own)),
        ]
        if teacher is not None:
            other = teacher["per_class_f1"][index]
            cells.append(cell(f"{other:.3f}", value=other, style=_bar(other)))
            cells.append(cell(f"{own - other:+.3f}", value=own - other))
        rows.append(("", cells))
    return table(heads, rows, name="classes", sortable=True)


def _bar(share: float) -> str:
    """A background that is filled up to ``share``."""
    end = f"{100 * share:.0f}%"
    return f"min-width:110px;background:linear-gradient(to right,#cfe3f3 {end},transparent {end})"


def _confused(confusion: Sequence[Sequence[int]], classes: Sequence[str]) -> list[str]:
    counts = np.array(confusion)
    parts = ["<h3>Confusion</h3>"]
    wrong = counts * (1 - np.eye(len(classes), dtype=int))
    pairs = np.argsort(-wrong, axis=None, kind="stable")[:_CONFUSIONS]
    frequent = [
        f"{classes[true]} as {classes[guess]} ({wrong[true, guess]})"
        for true, guess in (np.unravel_index(pair, wrong.shape) for pair in pairs)
        if wrong[true, guess] > 0
    ]
    if frequent:
        parts.append(f"<p>{text('Most frequent: ' + ', '.join(frequent))}.</p>")
    if len(classes) > _MATRIX:
        return [*parts, f"<p>The matrix of {len(classes)} classes is in metrics.json.</p>"]
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    rows = "\n".join(
        "<tr>"
        + cell(name, kind="name", hover=name)
        + "".join(
            cell(
                str(counts[true, guess]),
                value=int(counts[true, guess]),
                style=_heat(float(shares[true, guess]), right=true == guess),
                hover=f"{name} as {classes[guess]}: {shares[true, guess]:.0%}",
            )
            for guess in range(len(classes))
        )
        + "</tr>"
        for true, name in enumerate(classes)
    )
    heads = "".join(
        f'<th class="turned" title="{text(name)}"><span>{text(name)}</span></th>' for name in classes
    )
    return [
        *parts,
        '<p class="soft">Rows are the true classes, columns what the student said.</p>',
        f'<div class="wide"><table id="confusion" class="matrix"><thead><tr><th></th>{heads}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div>",
    ]


def _heat(share: float, *, right: bool) -> str:
    colour = "31,119,180" if right else "230,120,10"
    faded = ";color:#b8c1cc" if share == 0 else ""
    return f"background:rgba({colour},{0.06 + 0.6 * share if share else 0:.2f}){faded}"
