"""``distill`` and ``train``: the chosen network, with a teacher or alone."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import Any

from rich.markup import escape
from torch import nn

from core.config import BalanceConfig, StudentConfig
from core.errors import UserError
from core.locks import locked
from deploy.latency import measure_in_turns
from distill.inherited_weights import Inheritance
from distill.prepared_teacher import Taught
from distill.seeds import (
    SEEDS,
    STUDENT,
    check_alike,
    keep_best,
    recorded,
    seed_path,
    students,
    unfinished,
)
from distill.student_loss import Objective
from distill.student_training import CHECKPOINT, train_student, training_identity
from minnow import places
from minnow.console import interruptible, next_step, output, say, warn
from minnow.data_run import open_data
from minnow.inheriting import first_weights, inherits, point_to_inheritance
from minnow.picking import Student
from minnow.progress import TrainingDisplay
from minnow.report.run_page import leave_report
from minnow.tables import comparison_table, seeds_text, student_row
from minnow.teaching import check_balance, compare_with_teacher, teach
from nas.architecture import Architecture
from nas.layers import CLASSIFIERS
from training import budget as length
from training.bundle import WEIGHTS
from training.data.images import ImageSet
from training.optimizer import make_optimizer
from training.processes import Processes, current


def run_student(
    chosen: Student, config: StudentConfig, out: Path, *, resume: bool, seeds: int = 1
) -> dict[str, Any]:
    """Train a network and leave ``out/student``.

    Where several processes were launched, all call this; the main one alone writes.

    Args:
        chosen: what to train.
        config: data, teacher, loss, recipe, seed.
        out: run directory.
        resume: go on from its checkpoint, with the seeds that are not finished.
        seeds: how many students, from ``config.seed`` on; the best on validation is left.

    Returns:
        The content of ``metrics.json``.

    Raises:
        UserError: a student is there already, or a setting is wrong.
    """
    architecture, wanted = chosen.architecture, range(config.seed, config.seed + seeds)
    processes = current()
    out = processes.on_main(lambda: _checked_place(out, wanted, resume))
    check_balance(config)
    config = _fitting(architecture, config)
    Objective(config.loss)  # a wrong name is wrong without a teacher too
    make_optimizer(nn.Linear(1, 1), config.train)  # before a teacher is fine-tuned for it
    data = processes.main_first(lambda: open_data(config.data))
    if chosen.classes not in (None, data.num_classes):
        say(
            f"the model file's last layer is for {chosen.classes} classes; "
            f"here it gets the {data.num_classes} of the data"
        )
    usual = length.INHERITED if inherits(chosen, config) else length.STUDENT
    config = length.settled(config, len(data.splits["train"]), usual)
    train = config.train
    work = out / (STUDENT if seeds == 1 else SEEDS)
    with interruptible(*_resumed(sys.argv)), contextlib.ExitStack() as held:
        made = processes.on_main(lambda: _claimed(work, held))
        taught = None
        if (teacher := config.teacher) is not None:
            views = min(config.train.views, config.train.epochs)
            new = processes.main and not resume
            with places.taken_back(work, made) if new else contextlib.nullcontext():
                taught = processes.main_first(
                    lambda: teach(
                        teacher, config.loss, data, config.augment, views, live=config.live_teacher
                    )
                )
        start = processes.on_main(
            lambda: first_weights(chosen, config, taught, data, work, resume=resume)
        )
        if seeds == 1:
            place = out / STUDENT
            metrics = _train(architecture, config, data, place, taught, start, "the student", processes)
        else:
            _train_seeds(architecture, config, data, out, taught, start, wanted, processes)
            metrics = processes.on_main(lambda: keep_best(out))
        processes.on_main(lambda: leave_report(out))
    if taught is not None:
        compare_with_teacher(taught.val.f1, metrics["val"]["f1"], "the student")
    losses = " + ".join(filter(None, (config.loss.name, config.loss.features)))
    how, with_what = ("alone", "") if taught is None else ("distilled", f", distilled with {losses}")
    rows = [("teacher", metrics["teacher"]), (f"student, {how}", student_row(metrics))]
    output().print(comparison_table(f"{escape(data.name)}: test split{with_what}", rows))
    if seeds > 1:
        output().print(seeds_text(metrics), highlight=False, markup=False, soft_wrap=True)
    tau = metrics["balance"]["tau"]
    ending = f", {config.balance.mode} with tau {tau:g}" if tau else ""
    if metrics["stopped_early"]:
        ending += f"; stopped after {len(metrics['history'])}, the last {train.patience} were no better"
    say(f"student in {out / STUDENT} (epoch {metrics['epoch']} of {train.epochs}{ending})")
    point_to_inheritance(config, taught, metrics)
    next_step(["export", out])
    return metrics


def _train_seeds(
    architecture: Architecture,
    config: StudentConfig,
    data: ImageSet,
    out: Path,
    taught: Taught | None,
    start: Inheritance | None,
    wanted: range,
    processes: Processes,
) -> None:
    """Train the students that are not finished."""
    finished = students(out)
    for seed, place in finished.items():
        seeded = config.model_copy(update={"seed": seed})
        check_alike(place, training_identity(architecture, data, seeded, taught, start))
    for turn, seed in enumerate(wanted, start=1):
        what = f"seed {seed} ({turn} of {len(wanted)})"
        if seed in finished:
            say(f"{what} is finished")
            continue
        seeded = config.model_copy(update={"seed": seed})
        _train(architecture, seeded, data, seed_path(out, seed), taught, start, what, processes)


def _train(
    architecture: Architecture,
    config: StudentConfig,
    data: ImageSet,
    place: Path,
    taught: Taught | None,
    start: Inheritance | None,
    what: str,
    processes: Processes,
) -> dict[str, Any]:
    with TrainingDisplay(f"training {what}") as display:
        return train_student(
            architecture,
            data,
            config,
            place,
            taught=taught,
            inheritance=start,
            latency=lambda networks: [each.to_dict() for each in measure_in_turns(networks)],
            warn=warn,
            report=display,
            processes=processes,
        )


def _fitting(architecture: Architecture, config: StudentConfig) -> StudentConfig:
    """The settings, without a balance that the network has no bias for."""
    head = next(layer for layer in architecture.layers if isinstance(layer, CLASSIFIERS))
    activation = getattr(head, "activation", None)
    if config.balance.mode != "post-hoc" or activation is None:
        return config
    warn(
        f"balance post-hoc changes the biases of the logits, but this network ends in {activation}: left "
        "out; choose --balance logit-adjust, or null as the last layer's activation"
    )
    return config.model_copy(update={"balance": BalanceConfig()})


def _resumed(arguments: list[str]) -> list[str]:
    """The same command with ``--resume``."""
    given = [argument for argument in arguments[1:] if argument != "--resume"]
    return [*given, "--resume"]


def _claimed(work: Path, held: contextlib.ExitStack) -> places.Before:
    """Make and lock the directory; returns what there was before."""
    made = places.make_run(work)
    held.enter_context(locked(work))
    return made


def _checked_place(out: Path, wanted: range, resume: bool) -> Path:
    """The run directory, if it can take these students."""
    places.check_out(out)
    student = out / STUDENT
    if (student / WEIGHTS).exists():
        (student / CHECKPOINT).unlink(missing_ok=True)  # left by a kill right after the save
        if not resume:
            raise UserError(f"{student} exists already; choose another --out")
        if len(wanted) == 1 or set(wanted) <= set(recorded(out)):
            raise UserError(f"{student} is finished; train another one into another --out")
        return out
    if len(wanted) == 1 and unfinished(out):
        raise UserError(
            f"{out / SEEDS} holds a training of several seeds; give --resume and --seeds as before "
            "to go on, or choose another --out"
        )
    if len(wanted) > 1 and student.exists():
        raise UserError(
            f"{student} holds an interrupted training; finish it first, with --resume and without "
            "--seeds, or choose another --out"
        )
    if not resume and ((student / CHECKPOINT).exists() or unfinished(out)):
        place = student if (student / CHECKPOINT).exists() else out / SEEDS
        raise UserError(
            f"{place} holds an interrupted training; add --resume to go on, or choose another --out"
        )
    return out
