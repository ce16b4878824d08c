"""Training of the chosen student, with or without a teacher, into a bundle of its own."""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from core.config import StudentConfig
from core.errors import UserError
from distill.fake_quantization import fake_quantized, float_weights
from distill.inherited_weights import (
    ORDERS_FILE,
    StartingWeights,
    initial_network,
    input_normalization,
)
from distill.student_bundle import Timer, write_student
from distill.student_loss import student_loss
from nas.architecture import Architecture
from nas.networks import build
from teachers.ensemble import PreparedTeacher
from training.balance import loss_offsets
from training.batches import Batches, augmentation_of
from training.data.images import ImageSet
from training.device import pick_device
from training.evaluate import evaluate
from training.fit import Fitted, Progress, fit
from training.metrics import Metrics
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
    start: StartingWeights | None = None,
    qat: bool = False,
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
        start: what the student starts from; ``None``: random weights.
        qat: train with fake quantisation, see :mod:`distill.fake_quantization`: what is kept is the epoch
            that is best as quantised, and its float weights.
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
    identity = training_identity(architecture, data, config, teacher, start, qat=qat)
    torch.manual_seed(config.seed)
    network: nn.Module = initial_network(architecture, data.num_classes, start)
    batches = Batches(
        data=data,
        resolution=architecture.resolution,
        normalization=input_normalization(start),
        augmentation=augmentation_of(config.augment, data),
        batch_size=config.train.batch_size,
        views=config.train.view_count,
        seed=config.seed,
        outputs=None if teacher is None else teacher.outputs,
        balanced=config.balance.mode == "sampler",
        device=pick_device(),
        processes=processes,
    )
    if qat:
        network = fake_quantized(network, next(batches.epoch(0)).images)
        before = _evaluated(network, batches)
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

    scores = None
    if qat:
        scores = {"val_f1_before": before.f1, "val_f1": fitted.val.f1}
        fitted = _in_float(fitted, architecture, batches)

    def write() -> dict[str, Any]:
        metrics = write_student(
            fitted, architecture, data, config, out, teacher, identity, latency, start, scores, earlier
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
    start: StartingWeights | None = None,
    *,
    qat: bool = False,
) -> str:
    """Return a digest of all that decides the student: network, data, recipe, seed, teacher, weights."""
    content = [
        architecture.key,
        data.digest,
        config.model_dump(mode="json", exclude={"data", "teacher", "budget", "base"}),
        None if teacher is None else teacher.ensemble.digest,
        None if start is None else start.digest,
        *(["qat"] if qat else []),
    ]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def _in_float(fitted: Fitted, architecture: Architecture, batches: Batches) -> Fitted:
    """Return a training with fake quantisation as one of the float network that it made."""
    network = build(architecture, batches.data.num_classes)
    network.load_state_dict(float_weights(fitted.model))
    network.eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return replace(fitted, model=network, val=_evaluated(network, batches))


def _evaluated(network: nn.Module, batches: Batches) -> Metrics:
    """Return the scores of a network on validation."""
    return evaluate(
        network,
        batches.data,
        "val",
        resolution=batches.resolution,
        normalization=batches.normalization,
    )
