"""Weights & Biases: a run of a project."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from core.errors import UserError
from minnow.trackers.tracker import Status, Tracker, Value

_EXIT_CODES = {"finished": 0, "failed": 1, "stopped": 130}


class WandbRun(Tracker):
    """Weights & Biases: project ``wandb:PROJECT``; without it, ``$WANDB_PROJECT`` or ``minnow``.

    ``WANDB_MODE=offline`` writes a folder for ``wandb sync``.
    """

    package, extra = "wandb", "wandb"
    password_variable = "WANDB_API_KEY"

    def __init__(self, place: str | None, run: Path, identifier: str | None) -> None:
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")  # to its vendor
        import wandb

        offline = wandb.setup().settings.mode in ("offline", "dryrun", "disabled")
        if not offline and not wandb.login(prompt=False):
            raise UserError("tracker wandb: not logged in; call 'wandb login', or set WANDB_MODE=offline")
        settings = wandb.Settings(
            silent=True,
            show_warnings=False,
            console="off",
            disable_git=True,
            disable_code=True,
            disable_job_creation=True,
            x_disable_stats=True,
            x_save_requirements=False,
        )
        self._run = wandb.init(
            project=place or os.environ.get("WANDB_PROJECT", "minnow"),
            name=run.resolve().name,
            id=identifier,
            dir=os.environ.get("WANDB_DIR", os.getcwd()),  # else where the process began
            resume=None if offline else "allow",
            reinit="create_new",
            settings=settings,
        )
        self._offline, self._steps = offline, set[str]()

    @property
    def identifier(self) -> str:
        """Run ID of Weights & Biases."""
        return str(self._run.id)

    @property
    def location(self) -> str:
        """Page of the run, or its folder."""
        return str(Path(self._run.dir).parent if self._offline else self._run.url)

    def parameters(self, values: Mapping[str, Value]) -> None:
        """Record the settings as the run's configuration."""
        self._run.config.update(dict(values), allow_val_change=True)

    def metrics(self, series: str, values: Mapping[str, float], step: int) -> None:
        """Record metrics against ``series/step``, since the service's own steps only grow."""
        if series not in self._steps:
            self._run.define_metric(f"{series}/step", hidden=True)
            self._run.define_metric(f"{series}/*", step_metric=f"{series}/step")
            self._steps.add(series)
        self._run.log({f"{series}/step": step} | {f"{series}/{name}": v for name, v in values.items()})

    def table(self, name: str, columns: Sequence[str], rows: Sequence[Sequence[Value | None]]) -> None:
        """Record a table, whose cells are texts in a column that has a text."""
        from wandb import Table

        self._run.log({name: Table(columns=list(columns), data=_uniform(rows))})

    def file(self, path: Path, name: str) -> None:
        """Record a copy of a file."""
        copy = Path(self._run.dir) / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)
        self._run.save(str(copy), base_path=self._run.dir, policy="now")

    def close(self, status: Status) -> None:
        """End the run once everything is sent."""
        self._run.finish(exit_code=_EXIT_CODES[status])


def _uniform(rows: Sequence[Sequence[Value | None]]) -> list[list[Value | None]]:
    """Return rows whose columns have one type each, since the service refuses others."""
    columns = [list(column) for column in zip(*rows, strict=True)]
    for column in columns:
        if any(isinstance(value, str) for value in column):
            column[:] = [None if value is None else str(value) for value in column]
        else:
            column[:] = [None if value is None else float(value) for value in column]
    return [list(row) for row in zip(*columns, strict=True)]
