"""Another training of a finished student, on the images that chose and scored it as well."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from pathlib import Path
from typing import Any

from core.config import Refit, StudentConfig
from distill.student_metrics import read_whole_metrics
from minnow.base_network import student_base
from minnow.data_set import open_data
from minnow.format import counted
from minnow.listener import Listener
from minnow.run_directory import ChosenNetwork, choose, student_config
from minnow.second_training import claim
from minnow.starting_weights import student_weights
from minnow.student_run import Training
from minnow.teacher import fine_tuned_teachers, student_teacher
from training.bundle_files import STUDENT_FOLDER
from training.processes import current

REFIT_FOLDER = "refit"  # of a run directory


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
        processes.on_main(lambda: claim(first, folder, resume, held))
        earlier = read_whole_metrics(first)
        config = _settings(student_config(first), earlier)
        chosen = replace(chosen, architecture=choose(first).architecture)
        listener.started(REFIT_FOLDER, run, config)
        data = processes.main_first(lambda: open_data(config.data, listener))
        if len(data.unlabelled):  # chosen by the teacher that has held-out images
            _, data = processes.main_first(lambda: student_teacher(config, data, listener))
        more = data.refit(which)
        listener.note(
            f"training again on {len(more.splits['train']):,} images, {more.refit_words}, for "
            f"{counted(config.train.epochs or 0, 'epoch')}, as many as the student kept"
        )
        tuned = processes.main_first(
            lambda: fine_tuned_teachers(config.teacher, more.labelled, config.augment, listener)
        )
        base = processes.main_first(lambda: student_base(chosen, config, tuned, more.labelled, listener))
        teacher, _ = processes.main_first(lambda: student_teacher(config, more, listener, tuned))
        weights = processes.on_main(
            lambda: student_weights(chosen, config, base, data, folder, resume=resume, listener=listener)
        )
        training = Training(chosen.architecture, config, more, teacher, weights, processes, listener)
        metrics = training.run(folder, REFIT_FOLDER, earlier=earlier)
        listener.student_finished(REFIT_FOLDER, folder)
        return metrics


def _settings(config: StudentConfig, earlier: dict[str, Any]) -> StudentConfig:
    """Return the settings of a student with what its validation images decided."""
    train = config.train.model_copy(update={"epochs": earlier["epoch"]})
    balance = config.balance.model_copy(update={"tau": earlier["balance"]["tau"]})
    return config.model_copy(update={"train": train, "balance": balance, "budget": None})
