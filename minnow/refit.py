"""Another training of a finished student, on the images that chose and scored it as well."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from core.config import Refit, StudentConfig
from core.config_io import dotted, given_names, merged, overlaid, read_config, value_of
from core.errors import UserError
from core.locks import locked
from distill.student_metrics import read_whole_metrics
from distill.student_training import CHECKPOINT
from minnow.base_network import student_base
from minnow.data_set import open_data
from minnow.listener import Listener
from minnow.run_directory import ChosenNetwork, choose, student_config
from minnow.starting_weights import student_weights
from minnow.student_run import Training, run_student
from minnow.teacher import student_teacher
from training.bundle_files import STUDENT_FOLDER, WEIGHTS_FILE
from training.processes import current

REFIT_FOLDER = "refit"  # of a run directory


def run_student_and_refit(
    chosen: ChosenNetwork,
    config: StudentConfig,
    run: Path,
    which: Refit | None,
    *,
    given: Mapping[str, Any],
    file: Path | None = None,
    resume: bool = False,
    seeds: int = 1,
    listener: Listener,
) -> Path:
    """Train a student where the run has none, then once more on more images where that is asked for.

    Args:
        chosen: network to train.
        config: settings of the student.
        run: run directory.
        which: as of :func:`run_refit`; ``None``: the student alone.
        given: the caller's settings among those of ``config``; a finished student must have them.
        file: YAML of settings below ``given``, likewise.
        resume: continue from a checkpoint.
        seeds: number of students, of which the best on validation is kept.
        listener: receives progress, decisions and warnings.

    Returns:
        The directory of the last student trained.

    Raises:
        UserError: as :func:`minnow.student_run.run_student` and :func:`run_refit`.
    """
    student = run / STUDENT_FOLDER
    check_planned(config.budget, which, run)
    if which is None or not (student / WEIGHTS_FILE).exists():
        run_student(chosen, config, run, resume=resume, seeds=seeds, listener=listener)
    else:
        _check_settings(student, given, file)
    if which is None:
        return student
    run_refit(chosen, run, which, resume=resume, listener=listener)
    return run / REFIT_FOLDER


def check_planned(budget: float | None, which: Refit | None, run: Path) -> None:
    """Refuse to begin a student within a budget and a refit after it, which no budget plans.

    Raises:
        UserError: says how to have both.
    """
    if budget is None or which is None or (run / STUDENT_FOLDER / WEIGHTS_FILE).exists():
        return
    raise UserError(
        "a budget plans one training: leave out refit, and give it afterwards, to the same command "
        "without a budget"
    )


def run_refit(
    chosen: ChosenNetwork, run: Path, which: Refit, *, resume: bool = False, listener: Listener
) -> dict[str, Any]:
    """Train the finished student of a run again, on more images, and leave ``run/refit``.

    Nothing is left to choose on the validation images: the settings are those of the student, the length
    is the number of epochs that it kept, and the last epoch is kept. A teacher is fine-tuned on more
    images, too. Scores on images that were not held out are the earlier student's.

    Args:
        chosen: what the student was chosen from, for the weights that it starts from.
        run: run directory.
        which: ``val``: train on the validation images, too; ``all``: on those of all splits.
        resume: continue from its checkpoint.
        listener: receives progress, decisions and warnings.

    Returns:
        The content of ``metrics.json``.

    Raises:
        UserError: there is no student, or a refit already.
    """
    first, folder, processes = run / STUDENT_FOLDER, run / REFIT_FOLDER, current()
    with contextlib.ExitStack() as held:
        processes.on_main(lambda: _claim(folder, resume, held))
        earlier = read_whole_metrics(first)
        config = _settings(student_config(first), earlier)
        chosen = replace(chosen, architecture=choose(first).architecture)
        data = processes.main_first(lambda: open_data(config.data, listener))
        if len(data.unlabelled):  # chosen by the teacher that has held-out images
            _, data = processes.main_first(lambda: student_teacher(config, data, listener))
        more = data.refit(which)
        listener.note(
            f"training again on {len(more.splits['train']):,} images, {more.refit_words}, for "
            f"{config.train.epochs} epochs, as many as the student kept"
        )
        teacher, _ = processes.main_first(lambda: student_teacher(config, more, listener))
        base = processes.main_first(
            lambda: student_base(chosen, config, teacher, more.labelled, listener)
        )
        weights = processes.on_main(
            lambda: student_weights(chosen, config, base, data, folder, resume=resume, listener=listener)
        )
        training = Training(chosen.architecture, config, more, teacher, weights, processes, listener)
        return training.run(folder, "on more images", earlier=earlier)


def _check_settings(student: Path, given: Mapping[str, Any], file: Path | None) -> None:
    """Refuse settings that a finished student does not have.

    Raises:
        UserError: names them.
    """
    has, changes = student_config(student), dotted(StudentConfig, given)
    over = StudentConfig() if file is None else read_config(StudentConfig, file)
    wanted = merged(StudentConfig, overlaid(has, over), changes)
    names = dict.fromkeys([*changes, *given_names(over)])
    other = [name for name in names if value_of(wanted, name) != value_of(has, name)]
    if other:
        raise UserError(
            f"{student} is finished, and a refit has its settings: leave out {', '.join(other)}, or "
            "train another student in another run directory"
        )


def _settings(config: StudentConfig, earlier: dict[str, Any]) -> StudentConfig:
    """Return the settings of a student with what its validation images decided."""
    train = config.train.model_copy(update={"epochs": earlier["epoch"]})
    balance = config.balance.model_copy(update={"tau": earlier["balance"]["tau"]})
    return config.model_copy(update={"train": train, "balance": balance, "budget": None})


def _claim(folder: Path, resume: bool, held: contextlib.ExitStack) -> None:
    """Make and lock the directory.

    Raises:
        UserError: it is taken, or the run has no student.
    """
    student = folder.parent / STUDENT_FOLDER
    if not (student / WEIGHTS_FILE).exists():
        raise UserError(f"{student} holds no finished student to train again")
    if (folder / WEIGHTS_FILE).exists():
        raise UserError(f"{folder} exists already; delete it to train again")
    if (folder / CHECKPOINT).exists() and not resume:
        raise UserError(f"{folder} holds an interrupted training; resume it, or delete it")
    folder.mkdir(exist_ok=True)
    held.enter_context(locked(folder))
