"""TensorBoard: event files in a folder."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from core.errors import disk_errors
from minnow.run_creation import numbered
from minnow.trackers.tracker import Status, Tracker, Value

_LONGEST_NAME = 100  # characters of the name of a run
_TEXTS = (".yaml", ".json")  # files that TensorBoard can show


class TensorboardEvents(Tracker):
    """TensorBoard: event files in ``tensorboard:FOLDER``; without it, in ``tensorboard/`` of the run.

    It keeps texts and no other files.
    """

    package, extra = "tensorboard", "tensorboard"

    def __init__(self, place: str | None, run: Path, identifier: str | None) -> None:
        from torch.utils.tensorboard import SummaryWriter

        root = run / "tensorboard" if place is None else Path(os.path.expanduser(place))
        name = identifier or _free_name(root, run.resolve().name)
        self._folder = root / name
        with disk_errors(self._folder):
            self._writer: Any = SummaryWriter(str(self._folder))

    @property
    def identifier(self) -> str:
        """Name of the folder of event files."""
        return self._folder.name

    @property
    def location(self) -> str:
        """The folder."""
        return str(self._folder)

    def parameters(self, values: Mapping[str, Value]) -> None:
        """Record a table for each stage; the HParams page would keep the first one only."""
        for stage in dict.fromkeys(name.partition(".")[0] for name in values):
            rows = [(name, value) for name, value in values.items() if name.startswith(f"{stage}.")]
            self.table(f"parameters/{stage}", ["parameter", "value"], rows)

    def metrics(self, series: str, values: Mapping[str, float], step: int) -> None:
        """Record scalars at a step."""
        for name, value in values.items():
            self._writer.add_scalar(f"{series}/{name}", value, step)
        self._writer.flush()

    def table(self, name: str, columns: Sequence[str], rows: Sequence[Sequence[Value | None]]) -> None:
        """Record a text in Markdown."""
        lines = [columns, ["---"] * len(columns), *rows]
        self._writer.add_text(name, "\n".join("|".join(map(_cell, line)) for line in lines))

    def file(self, path: Path, name: str) -> None:
        """Record the text of a YAML or JSON file."""
        if path.suffix in _TEXTS:
            text = path.read_text(encoding="utf-8")
            self._writer.add_text(name, "\n".join(f"    {line}" for line in text.splitlines()))

    def close(self, status: Status) -> None:
        """Close the event file."""
        self._writer.close()


def _free_name(root: Path, name: str) -> str:
    """Return a name in ``root`` that no other run has."""
    return next(path.name for path in numbered(root, name[:_LONGEST_NAME]) if not path.exists())


def _cell(value: Value | None) -> str:
    return "" if value is None else str(value).replace("|", "\\|")
