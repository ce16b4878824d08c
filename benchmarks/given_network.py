"""Training and scoring of networks without a model file, as ``distill`` and ``train`` do it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from core.config import StudentConfig
from core.files import write_bytes
from distill.student_bundle import adjust_post_hoc
from distill.student_loss import student_loss
from teachers.ensemble import count_macs
from training.balance import loss_offsets
from training.batches import Batch, Batches, Outputs, augmentation_of
from training.data.images import ImageSet
from training.device import pick_device
from training.evaluate import evaluate, logits_of, score_logits
from training.fit import Fitted, Loss, Progress, fit
from training.predictions import PREDICTIONS, predictions_csv, read_predictions
from training.preprocess import Normalization


@dataclass(frozen=True)
class Input:
    """The input of a network.

    Attributes:
        resolution: side, pixels.
        normalization: of the images.
    """

    resolution: int
    normalization: Normalization

    @property
    def view(self) -> dict[str, Any]:
        """The keywords of :func:`training.evaluate.evaluate`."""
        return {"resolution": self.resolution, "normalization": self.normalization}


@dataclass(frozen=True)
class LaterBatches(Batches):
    """The batches of a training that goes on: its first epoch is number ``start``."""

    start: int = 0

    def epoch(self, epoch: int) -> Iterator[Batch]:
        """Yield the batches of an epoch, counted from ``start``."""
        return super().epoch(self.start + epoch)


def train_given(
    model: nn.Module,
    sees: Input,
    data: ImageSet,
    student: StudentConfig,
    outputs: Outputs | None,
    *,
    loss: Loss | None = None,
    start: int = 0,
    epochs: int | None = None,
    keep_last: bool = False,
    report: Callable[[Progress], None] | None = None,
) -> Fitted:
    """Train a network, in place, with the batches, loss and recipe of a student.

    Args:
        model: the network.
        sees: its input.
        data: the images.
        student: settings, resolved.
        outputs: of the teacher; ``None``: labels alone.
        loss: another one than the student's.
        start: number of the first epoch.
        epochs: ``None``: those of the settings.
        keep_last: as for :func:`training.fit.fit`.
        report: likewise.
    """
    batches = LaterBatches(
        data=data,
        resolution=sees.resolution,
        normalization=sees.normalization,
        augmentation=augmentation_of(student.augment, data),
        batch_size=student.train.batch_size,
        views=student.train.view_count,
        seed=student.seed,
        outputs=outputs,
        balanced=student.balance.mode == "sampler",
        device=pick_device(),
        start=start,
    )
    if loss is None:
        offsets = loss_offsets(student.balance, data)
        loss = student_loss(student.loss, student.train.label_smoothing, model, batches, offsets)
    recipe = student.train if epochs is None else student.train.model_copy(update={"epochs": epochs})
    return fit(model, batches, loss, recipe, keep_last=keep_last, report=report)


def score_given(
    model: nn.Module, sees: Input, data: ImageSet, student: StudentConfig, work: Path
) -> Mapping[str, Any]:
    """Return size and scores, with the adjustment to the classes that students get.

    The test split is read once; its predictions are written to ``work``.

    Args:
        model: trained, on the CPU; the adjustment changes it.
        sees: its input.
        data: the images.
        student: settings, resolved; a mode of balance other than ``post-hoc`` adjusts nothing.
        work: directory of the predictions.
    """
    if student.balance.mode == "post-hoc":
        adjust_post_hoc(model, data, student.balance.tau, sees.view)
    test = data.splits["test"]
    logits = logits_of(model, data, test, **sees.view)
    write_bytes(work / PREDICTIONS, predictions_csv(logits, data, test))
    predictions = read_predictions(work / PREDICTIONS)  # in the order of other lines
    return {
        "resolution": sees.resolution,
        "test_images": data.test_digest,
        "params": sum(weight.numel() for weight in model.parameters()),
        "macs": count_macs(model, sees.resolution),
        "val_f1": evaluate(model, data, "val", **sees.view).f1,
        "f1": score_logits(logits, data, test).f1,
        "labels": predictions.labels.tolist(),
        "predicted": predictions.predicted.tolist(),
    }
