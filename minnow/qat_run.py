"""Quantisation-aware training of the finished student of a run."""

from __future__ import annotations

import contextlib
import math
from functools import partial
from pathlib import Path
from typing import Any

from core.config import StudentConfig, TrainConfig
from core.errors import UserError
from distill.quantization_aware import train_for_int8
from distill.student_metrics import read_student_metrics
from minnow.data_set import open_data
from minnow.format import counted
from minnow.listener import Listener
from minnow.run_directory import student_config
from minnow.second_training import claim
from training.budget import steps_per_epoch
from training.bundle import load_bundle
from training.processes import current

QAT_FOLDER = "qat"  # of a run directory
_SHARE = 1 / 8  # of the student's epochs
_LEAST = 200  # steps
_RATE = 0.03  # of the student's learning rate


def run_qat(source: Path, *, resume: bool = False, listener: Listener) -> dict[str, Any]:
    """Train a finished student on with fake quantisation, and leave ``qat`` beside it.

    It learns from its own float outputs on augmented training images, for an eighth of its epochs or
    200 steps, and at 0.03 of its learning rate. What is kept is in float, as any student is, for any int8
    target to quantise.

    Args:
        source: directory of the student: that of a run, or its refit.
        resume: continue from its checkpoint.
        listener: receives progress, decisions and warnings.

    Returns:
        The content of ``metrics.json``.

    Raises:
        UserError: there is no student, or it was trained so already; several processes were launched.
    """
    folder = source.parent / QAT_FOLDER
    if current().count > 1:
        raise UserError("qat trains in one process: launch one")
    with contextlib.ExitStack() as held:
        claim(source, folder, resume, held)
        which, config = read_student_metrics(source).refit, student_config(source)
        data = open_data(config.data.model_copy(update={"unlabelled": None}), listener)
        if which is not None:
            data = data.refit(which)
        recipe = _recipe(config, len(data.splits["train"]))
        listener.started(QAT_FOLDER, folder.parent, config.model_copy(update={"train": recipe}))
        listener.note(
            f"training {source} on with fake quantisation, for {counted(recipe.epochs or 0, 'epoch')} "
            f"at a learning rate of {recipe.peak_rate:.2g}"
        )
        metrics = train_for_int8(
            load_bundle(source),
            data,
            config,
            recipe,
            folder,
            warn=listener.warn,
            report=partial(listener.training, QAT_FOLDER),
        )
        listener.student_finished(QAT_FOLDER, folder)
    if which is None:
        before, after = metrics["qat"]["val_f1_before"], metrics["qat"]["val_f1"]
        listener.note(f"with fake quantisation, validation F1 is {after:.3f}; it was {before:.3f} before")
        if after < before:
            listener.warn(
                f"it fell: {source} may be better in int8; export both, and compare their scores"
            )
    return metrics


def _recipe(config: StudentConfig, images: int) -> TrainConfig:
    """Return the recipe of a student as this training takes it, for a number of training images."""
    assert config.train.epochs is not None  # resolved before the student was trained
    least = math.ceil(_LEAST / steps_per_epoch(images, config.train.batch_size))
    epochs = max(least, round(_SHARE * config.train.epochs))
    changes = {
        "epochs": epochs,
        "views": epochs,  # no outputs of a teacher are cached for them
        "learning_rate": _RATE * config.train.peak_rate,
        "weight_decay": 0.0,
        "precision": "float32",
        "compile": False,
        "patience": 0,
    }
    return config.train.model_copy(update=changes)
