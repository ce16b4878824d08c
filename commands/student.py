"""``distill`` and ``train``: the chosen network, with a teacher or alone."""

from __future__ import annotations

import contextlib
import shlex
import sys
from pathlib import Path
from typing import Any

from rich.markup import escape
from torch import nn

from commands import runs
from commands.console import interruptible, next_step, output, program, say, warn
from commands.data import open_data
from commands.progress import TrainingDisplay
from commands.tables import comparison_table, student_row
from commands.teaching import compare_with_teacher, teach
from deploy.latency import measure_module
from distill.objective import objective
from distill.run import CHECKPOINT, train_student
from nas.architecture import Architecture
from nas.config import StudentConfig
from nas.errors import UserError
from nas.store import locked
from training.bundle import WEIGHTS
from training.length import STUDENT, decided
from training.optimizer import make_optimizer


def run_student(
    architecture: Architecture, config: StudentConfig, out: Path, *, resume: bool
) -> dict[str, Any]:
    """Train a network and leave ``out/student``.

    Args:
        architecture: what to train.
        config: data, teacher, loss, recipe, seed.
        out: run directory.
        resume: go on from its checkpoint.

    Returns:
        The content of ``metrics.json``.

    Raises:
        UserError: a student is there already, or a setting is wrong.
    """
    student = out / "student"
    _check_place(student, resume)
    objective(config.loss, 0.0, teacher=True)  # a wrong name is wrong without a teacher too
    make_optimizer(nn.Linear(1, 1), config.train)  # before a teacher is fine-tuned for it
    data = open_data(config.data)
    train = decided(config.train, len(data.splits["train"]), STUDENT)
    config = config.model_copy(update={"train": train})
    made = runs.make_run(student)
    with interruptible(_resumed(sys.argv)), locked(student):
        taught = None
        if config.teacher is not None:
            views = min(config.train.views, config.train.epochs)
            with contextlib.nullcontext() if resume else runs.taken_back(student, made):
                taught = teach(config.teacher, data, config.augment, views)
        with TrainingDisplay("training the student") as display:
            metrics = train_student(
                architecture,
                data,
                config,
                student,
                taught=taught,
                latency=lambda model: measure_module(model, architecture.resolution).to_dict(),
                warn=warn,
                report=display,
            )
    if taught is not None:
        compare_with_teacher(taught.teacher.val.f1, metrics["val"]["f1"], "the student")
    how = "alone" if taught is None else f"distilled with {config.loss.name}"
    rows = [("teacher", metrics["teacher"]), (f"student, {how}", student_row(metrics))]
    output().print(comparison_table(f"{escape(data.name)}: test split", rows))
    ending = ""
    if metrics["stopped_early"]:
        ending = f"; stopped after {len(metrics['history'])}, the last {train.patience} were no better"
    say(f"student in {student} (epoch {metrics['epoch']} of {train.epochs}{ending})")
    next_step(f"{program()} export {out}")
    return metrics


def _resumed(arguments: list[str]) -> str:
    """The same command with ``--resume``."""
    given = [argument for argument in arguments[1:] if argument != "--resume"]
    return shlex.join([*given, "--resume"])


def _check_place(student: Path, resume: bool) -> None:
    if (student / WEIGHTS).exists():
        (student / CHECKPOINT).unlink(missing_ok=True)  # left by a kill right after the save
        if resume:
            raise UserError(f"{student} is finished; train another one into another --out")
        raise UserError(f"{student} exists already; choose another --out")
    if (student / CHECKPOINT).exists() and not resume:
        raise UserError(
            f"{student} holds an interrupted training; add --resume to go on, or choose another --out"
        )
