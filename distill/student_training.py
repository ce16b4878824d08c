"""Training of the chosen student, with or without a teacher, into a bundle of its own."""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from core.config import StudentConfig
from core.errors import UserError
from distill.inherited_weights import (
    ORDERS_FILE,
    InheritedWeights,
    initial_network,
    input_normalization,
)
from distill.student_bundle import Timer, write_student
from distill.student_loss import student_loss
from nas.architecture import Architecture
from teachers.ensemble import PreparedTeacher
from training.balance import loss_offsets
from training.batches import Batches, augmentation_of
from training.data.images import ImageSet
from training.device import pick_device
from training.fit import Progress, fit
from training.processes import ALONE, Processes
from training.step import DivergedError, halve_once

CHECKPOINT = "checkpoint.pt"


def train_student(
    architecture: Architecture,
    data: ImageSet,
    config: StudentConfig,
    out: Path,
    *,
    teacher: PreparedTeacher | None,
    latency: Timer | None = None,
    inherited: InheritedWeights | None = None,
    earlier: Mapping[str, Any] | None = None,
    warn: Callable[[str], None] = warnings.warn,
    report: Callable[[Progress], None] | None = None,
    processes: Processes = ALONE,
) -> dict[str, Any]:
    """Train, choose the epoch on validation, read the test split once, write the bundle.

    A post-hoc adjustment is tuned on the validation split too, after the epoch is chosen: ``val`` is then
    the score of the shipped network, and ``history`` has the scores of the unadjusted ones.

    Args:
        architecture: of the student.
        data: the images.
        config: recipe, loss, seed; recorded in the bundle.
        out: the bundle's directory. An existing checkpoint is resumed, and deleted on success.
        teacher: ``None`` trains on labels alone.
        latency: measures the trained network and its teachers; ``None`` leaves their latency out.
        inherited: what the student is cut out of; ``None`` starts from random weights.
        earlier: for images that are trained on and were not before, the metrics of the student that did
            not see them; they replace the scores on those images.
        warn: callback for the one-line warning after a rollback.
        report: callback for the progress of every step.
        processes: that train together; the main one alone measures and writes.

    Returns:
        The content of ``metrics.json``.

    Raises:
        UserError: the training diverged twice; the optimiser is unknown; a checkpoint is damaged or
            belongs to another training.
    """
    identity = training_identity(architecture, data, config, teacher, inherited)
    torch.manual_seed(config.seed)
    network = initial_network(architecture, data.num_classes, inherited)
    batches = Batches(
        data=data,
        resolution=architecture.resolution,
        normalization=input_normalization(inherited),
        augmentation=augmentation_of(config.augment, data),
        batch_size=config.train.batch_size,
        views=config.train.view_count,
        seed=config.seed,
        outputs=None if teacher is None else teacher.outputs,
        balanced=config.balance.mode == "sampler",
        device=pick_device(),
        processes=processes,
    )
    offsets = loss_offsets(config.balance, data)
    loss = student_loss(config.loss, config.train.label_smoothing, network, batches, offsets)
    try:
        fitted = fit(
            network,
            batches,
            loss,
            config.train,
            checkpoint=out / CHECKPOINT,
            identity=identity,
            on_divergence=halve_once(warn),
            report=report,
        )
    except DivergedError as error:
        raise UserError(f"training stopped: {error}; lower train.learning_rate") from None

    def write() -> dict[str, Any]:
        metrics = write_student(
            fitted, architecture, data, config, out, teacher, identity, latency, inherited, earlier
        )
        for name in (CHECKPOINT, ORDERS_FILE):
            (out / name).unlink(missing_ok=True)
        return metrics

    return processes.on_main(write)


def training_identity(
    architecture: Architecture,
    data: ImageSet,
    config: StudentConfig,
    teacher: PreparedTeacher | None,
    inherited: InheritedWeights | None = None,
) -> str:
    """Return a digest of all that decides the student: network, data, recipe, seed, teacher, weights."""
    content = [
        architecture.key,
        data.digest,
        config.model_dump(mode="json", exclude={"data", "teacher", "budget", "base", "trackers"}),
        None if teacher is None else teacher.ensemble.digest,
        None if inherited is None else inherited.digest,
    ]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()
