"""Train the chosen student, with or without a teacher, and leave a bundle that stands on its own."""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from core.config import StudentConfig
from core.errors import UserError
from distill.inherited_weights import ORDERS, Inheritance, first_network, normalization_of
from distill.outcome import Timer, finish
from distill.prepared_teacher import Taught
from distill.student_loss import objective
from nas.architecture import Architecture
from training.balance import loss_offsets
from training.batches import Batches, augmentation_of
from training.data.images import ImageSet
from training.device import pick_device
from training.divergence import DivergedError, halve_once
from training.fit import Progress, fit
from training.processes import ALONE, Processes

CHECKPOINT = "checkpoint.pt"


def train_student(
    architecture: Architecture,
    data: ImageSet,
    config: StudentConfig,
    out: Path,
    *,
    taught: Taught | None,
    latency: Timer | None = None,
    inheritance: Inheritance | None = None,
    warn: Callable[[str], None] = warnings.warn,
    report: Callable[[Progress], None] | None = None,
    processes: Processes = ALONE,
) -> dict[str, Any]:
    """Train, choose the epoch on validation, read the test split once, write the bundle.

    A post-hoc adjustment is tuned on the validation split too, after the epoch is chosen: ``val`` is then
    the score of what is shipped, and ``history`` has those of the networks as they were trained.

    Args:
        architecture: of the student.
        data: the images.
        config: recipe, loss, seed; recorded in the bundle.
        out: the bundle's directory. A checkpoint in it is gone on from, and removed at the end.
        taught: the teacher; ``None`` trains on labels alone.
        latency: measures the trained network and its teachers; ``None``: they have none.
        inheritance: what the student is cut out of; ``None`` starts from random weights.
        warn: hears, in one line, of a divergence that the training went back from.
        report: hears of every training step.
        processes: that train together; the main one alone measures and writes.

    Returns:
        The content of ``metrics.json``.

    Raises:
        UserError: the training diverged twice; the optimiser is unknown; a checkpoint is damaged or
            belongs to another training.
    """
    identity = training_identity(architecture, data, config, taught, inheritance)
    torch.manual_seed(config.seed)
    network = first_network(architecture, data.num_classes, inheritance)
    batches = Batches(
        data=data,
        resolution=architecture.resolution,
        normalization=normalization_of(inheritance),
        augmentation=augmentation_of(config.augment, data),
        batch_size=config.train.batch_size,
        views=config.train.walked,
        seed=config.seed,
        outputs=None if taught is None else taught.outputs,
        balanced=config.balance.mode == "sampler",
        device=pick_device(),
        processes=processes,
    )
    offsets = loss_offsets(config.balance, data)
    loss = objective(config.loss, config.train.label_smoothing, network, batches, offsets)
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

    def leave() -> dict[str, Any]:
        metrics = finish(fitted, architecture, data, config, out, taught, identity, latency, inheritance)
        for name in (CHECKPOINT, ORDERS):
            (out / name).unlink(missing_ok=True)
        return metrics

    return processes.on_main(leave)


def training_identity(
    architecture: Architecture,
    data: ImageSet,
    config: StudentConfig,
    taught: Taught | None,
    inheritance: Inheritance | None = None,
) -> str:
    """Digest of all that decides the student: network, images, recipe, seed, teacher, first weights."""
    content = [
        architecture.key,
        data.digest,
        config.model_dump(mode="json", exclude={"data", "teacher"}),
        None if taught is None else taught.teacher.digest,
        None if inheritance is None else inheritance.digest,
    ]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()
