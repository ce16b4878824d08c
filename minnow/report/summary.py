"""The trials of a search as plain data, for the report."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from minnow.run_directory import JOURNAL, Run


@dataclass(frozen=True)
class Summary:
    """The trials of a search.

    Attributes:
        classes: of the data.
        best: number of the chosen trial; ``None`` when no trial meets the limits.
        knee: number of the front's knee.
        front: numbers, best in the first goal first.
        trials: per trial ``number``, ``choices`` by name, ``metrics``, ``error``, ``epochs``, ``parent``.
        made: ``images`` by split, ``versions`` by package.
    """

    classes: list[str]
    best: int | None
    knee: int | None
    front: list[int]
    trials: list[dict[str, Any]]
    made: dict[str, Any] = field(default_factory=dict)


def summary_of(path: Path) -> Summary:
    """Return the trials of a run; none where no trial has been stored yet."""
    run = Run(path)
    if run.config.storage is None and not (path / JOURNAL).exists():
        return Summary([], None, None, [], [])
    trials = [
        {
            "number": trial.number,
            "choices": dict(run.options(trial)),
            "metrics": None if trial.metrics is None else dict(trial.metrics),
            "error": trial.error,
            "epochs": trial.proposal.epochs,
            "parent": trial.proposal.parent,
        }
        for trial in run.trials
    ]
    return Summary(
        classes=list(run.classes),
        best=None if run.best is None else run.best.number,
        knee=None if run.knee is None else run.knee.number,
        front=[trial.number for trial in run.front],
        trials=trials,
        made=dict(run.study.facts),
    )
