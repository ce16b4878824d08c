"""Pictures in a page: the student's most confident mistakes and its least certain images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from core.config import DataConfig
from core.config_io import parse_config
from core.errors import UserError
from minnow.report.thumbnails import thumbnails
from training.bundle_files import CONFIG_FILE
from training.predictions import PREDICTIONS, Predictions, read_predictions

_SHOWN = 24  # images of each kind


class Shot(NamedTuple):
    """A picture with its caption.

    Attributes:
        url: of the thumbnail, ``data:``.
        file: its name in the data set.
        title: the main line of the caption.
        note: the line below it.
    """

    url: str
    file: str
    title: str
    note: str


@dataclass(frozen=True)
class Ranked:
    """Rows of a table of predictions, in the order in which they are shown."""

    name: str
    text: str
    rows: Sequence[int]


def gallery_section(student: Path, data: object) -> dict[str, Any] | None:
    """Return the values of ``gallery.html.jinja`` from the stored predictions; ``None`` without any.

    Args:
        student: its directory.
        data: settings of its data, as read from its ``config.yaml``.

    Raises:
        UserError: the predictions are damaged.
    """
    if not (student / PREDICTIONS).exists():
        return None
    table = read_predictions(student / PREDICTIONS)
    groups = ranked(table)
    files = _alternating([[table.files[row] for row in group.rows] for group in groups])
    try:
        config = parse_config(DataConfig, data, f"{student / CONFIG_FILE}: data")
        urls = thumbnails(config, files)
    except UserError as error:
        return {"missing": f"Images are not shown: {error}.", "groups": []}
    if not urls:
        missing = f"Images are not shown: {config.spec} does not hold the test images." if files else None
        return {"missing": missing, "groups": []}
    return {"missing": None, "groups": [(g.name, g.text, _shots(table, g, urls)) for g in groups]}


def ranked(table: Predictions, most: int = _SHOWN) -> list[Ranked]:
    """Return the rows of the most confident mistakes and of the least certain images."""
    confidence = table.probabilities.max(axis=1)
    wrong = np.flatnonzero(table.predicted != table.labels)
    mistakes = wrong[np.argsort(-confidence[wrong], kind="stable")][:most]
    unsure = np.argsort(confidence, kind="stable")[:most]
    return [
        Ranked(
            "Most confident mistakes",
            f"{len(mistakes)} of {len(wrong):,} mistakes on {len(confidence):,} test images, each with "
            "the predicted and the true class and their probabilities. Some may be wrong labels.",
            mistakes.tolist(),
        ),
        Ranked(
            "Least certain",
            "The test images whose predicted class has the least probability, right or wrong.",
            unsure.tolist(),
        ),
    ]


def _shots(table: Predictions, group: Ranked, urls: Mapping[str, str]) -> list[Shot]:
    shots = []
    for row in group.rows:
        file, true, guess = table.files[row], table.labels[row], table.predicted[row]
        if file not in urls:
            continue
        title = f"{table.classes[guess]} {table.probabilities[row, guess]:.2f}"
        note = f"true: {table.classes[true]} {table.probabilities[row, true]:.2f}"
        if true == guess:
            note = "right"
        shots.append(Shot(urls[file], file, title, note))
    return shots


def _alternating(columns: Sequence[Sequence[str]]) -> list[str]:
    """Return the first of all columns, then the second ones, and so on: no column takes all the room."""
    longest = max(map(len, columns), default=0)
    return [column[turn] for turn in range(longest) for column in columns if turn < len(column)]
