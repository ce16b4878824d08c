"""Quantisation-aware training: a student learns to give in int8 the outputs that it has in float."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from core.config import StudentConfig, TrainConfig
from core.errors import UserError
from distill.fake_quantization import FakeQuantized
from distill.inherited_weights import cpu_state_dict, update_digest
from distill.losses.kd import kd
from distill.student_bundle import package_versions, test_scores, without_validation
from distill.student_training import CHECKPOINT
from training.batches import Batch, Batches, augmentation_of
from training.bundle import Bundle, save_bundle
from training.data.images import ImageSet
from training.device import pick_device
from training.evaluate import evaluate, logits_of, score_logits
from training.fit import Progress, fit
from training.predictions import PREDICTIONS, predictions_csv
from training.step import DivergedError, halve_once


def train_for_int8(
    bundle: Bundle,
    data: ImageSet,
    config: StudentConfig,
    recipe: TrainConfig,
    out: Path,
    *,
    warn: Callable[[str], None],
    report: Callable[[Progress], None] | None = None,
) -> dict[str, Any]:
    """Train a student with fake quantisation to give its own float outputs, and write its bundle.

    Measured against the teacher's outputs and the labels as targets: those train the student on, away
    from what validation chose, and gain nothing (``docs/log.md``).

    Args:
        bundle: the student.
        data: the images that it was trained on.
        config: of the student.
        recipe: of this training; the last epoch is kept.
        out: the new bundle's directory. An existing checkpoint is resumed, and deleted on success.
        warn: callback for the one-line warning after a rollback.
        report: callback for the progress of every step.

    Returns:
        The content of ``metrics.json``: the student's, with scores of the new weights, in float, on the
        images that it was not trained on, and ``qat``: validation F1 with fake quantisation, before
        and after.

    Raises:
        UserError: the training diverged twice; a checkpoint is damaged or belongs to another training.
    """
    device, side = pick_device(), bundle.architecture.resolution
    view: dict[str, Any] = {"resolution": side, "normalization": bundle.normalization}
    batches = Batches(
        data=data,
        augmentation=augmentation_of(config.augment, data),
        batch_size=recipe.batch_size,
        views=recipe.view_count,
        seed=config.seed,
        device=device,
        **view,
    )
    student = bundle.model.to(device).requires_grad_(False)
    network = FakeQuantized(student, next(batches.epoch(0)).images).to(device).requires_grad_(True)
    before = evaluate(network, data, "val", **view)
    try:
        fitted = fit(
            network,
            batches,
            _Imitation(student),
            recipe,
            checkpoint=out / CHECKPOINT,
            identity=_identity(bundle, data, config, recipe),
            keep_last=True,
            on_divergence=halve_once(warn),
            report=report,
        )
    except DivergedError as error:
        raise UserError(f"training for int8 stopped: {error}") from None
    assert isinstance(fitted.model, FakeQuantized)
    student.load_state_dict(fitted.model.float_weights())
    scores = {"val_f1_before": before.f1, "val_f1": fitted.val.f1}
    metrics = {
        **bundle.metrics,
        "seconds": fitted.seconds,
        "epoch": fitted.kept_epoch,
        "history": fitted.history,
        "rollbacks": fitted.rollbacks,
        "stopped_early": False,
        "qat": scores,
        "versions": package_versions(),
    }
    if data.refitted is not None:
        metrics["history"] = without_validation(fitted.history)
    _write(bundle, data, metrics, out, view)
    (out / CHECKPOINT).unlink(missing_ok=True)
    return metrics


class _Imitation:
    """Distillation of a network from another one for the same pixels."""

    def __init__(self, student: nn.Module) -> None:
        self.student = student

    def __call__(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """Return :func:`kd` with temperature 1."""
        with torch.no_grad():
            wanted = self.student(batch.images)
        return kd(model(batch.images), wanted, batch.labels, temperature=1.0)


def _write(
    bundle: Bundle, data: ImageSet, metrics: dict[str, Any], out: Path, view: dict[str, Any]
) -> None:
    """Score the student on images that it was not trained on, and write it."""
    student, others = bundle.model.to("cpu").eval(), {}
    if data.refitted is None:
        metrics["val"] = evaluate(student, data, "val", **view).to_dict()
    if data.refitted != "all":
        images = data.splits["test"]
        logits = logits_of(student, data, images, **view)
        metrics["test"] = test_scores(score_logits(logits, data, images))
        others[PREDICTIONS] = predictions_csv(logits, data, images)
    save_bundle(
        out,
        student,
        bundle.architecture,
        bundle.classes,
        config=bundle.config,
        metrics=metrics,
        others=others,
    )


def _identity(bundle: Bundle, data: ImageSet, config: StudentConfig, recipe: TrainConfig) -> str:
    """Return a digest of all that decides the new weights: student, data, recipe, augmentation, seed."""
    digest = hashlib.sha256()
    update_digest(digest, cpu_state_dict(bundle.model))
    settings = [recipe.model_dump(mode="json"), config.augment.model_dump(mode="json"), config.seed]
    digest.update(json.dumps([data.digest, settings]).encode())
    return digest.hexdigest()
