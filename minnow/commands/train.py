"""The command ``train``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from typer import Option

from core.config import StudentConfig
from minnow.commands import options
from minnow.commands.distill import train_chosen
from minnow.commands.options import (
    Assignments,
    ConfigFile,
    Pick,
    Qat,
    RefitOn,
    Resume,
    Seeds,
    SeedsExecutor,
    SeedsWorkers,
    with_settings,
)

#: Settings of a teacher, which this command does not have.
WITHOUT = ("teacher", "loss", "live_teacher")


@with_settings(
    StudentConfig,
    {
        options.DATA: ("data.spec", "data.size"),
        options.SEARCH: ("model", "pick"),
        options.TRAINING: (
            *("train.epochs", "budget", "train.batch_size", "train.learning_rate", "balance.mode"),
            *("seed", "seeds", "executor", "workers", "refit", "qat"),
        ),
        options.RUN: ("out", "resume", "config", "assignments"),
    },
    keep=lambda name: not name.startswith(WITHOUT),
)
def train(
    changes: dict[str, Any],
    model: Annotated[
        str,
        Option(
            help="Model YAML, or the run directory of a search or a student.",
            rich_help_panel=options.SEARCH,
        ),
    ],
    pick: Pick = "best",
    seeds: Seeds = 1,
    executor: SeedsExecutor = "local",
    workers: SeedsWorkers = None,
    refit: RefitOn = None,
    qat: Qat = False,
    out: Annotated[
        Path | None,
        Option(
            help="Run directory; the network goes into its student/. (default: runs/train-MODEL)",
            rich_help_panel=options.RUN,
        ),
    ] = None,
    resume: Resume = False,
    config: ConfigFile = None,
    assignments: Assignments = None,
) -> None:
    """Train a network without a teacher.

    Example: train --model runs/photos/architecture.yaml --data photos/

    --tracker mlflow, tensorboard or wandb records the run there, too.
    """
    where = {"student": model, "pick": pick, "file": config, "out": out, "prefix": "train"}
    placement = {"executor": executor, "workers": workers}
    train_chosen(changes, where, resume=resume, seeds=seeds, placement=placement, refit=refit, qat=qat)
