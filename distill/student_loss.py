"""The loss of a student: its teacher's outputs, the labels, and features where they are compared."""

from __future__ import annotations

import torch
from torch import nn

from core.config import LossConfig
from distill.losses import FEATURE_LOSSES, LOGIT_LOSSES, DistillationLoss, FeatureLoss
from training.balance import adjusted_cross_entropy
from training.batches import Batch, Batches
from training.fit import Loss, cross_entropy
from training.signals import Kind, Signals, signals_of


def student_loss(
    config: LossConfig,
    smoothing: float,
    student: nn.Module,
    batches: Batches,
    offsets: torch.Tensor | None = None,
) -> Loss:
    """Return the loss of a student for these batches, with or without a teacher's outputs.

    ``offsets`` adjust the cross-entropy alone. The teacher's outputs follow the class shares of its
    training, and the student is compared with them unadjusted. So the two terms pull in different
    directions, and ``weight`` decides how much of the adjustment is left: all at 0, none at 1.

    Args:
        config: of the loss with a teacher.
        smoothing: of the labels without a teacher.
        student: gives the sizes of its features; not changed.
        batches: of the training.
        offsets: ``(C,)``, added to the logits in the cross-entropy, see ``training.balance``.

    Raises:
        UserError: a loss or an option is unknown; lists the known ones.
    """
    if batches.outputs is None:
        return cross_entropy(smoothing, offsets)
    loss = StudentLoss(config, offsets)
    return loss if loss.kind is None else loss.adapt(student, next(batches.epoch(0)))


class StudentLoss(nn.Module):
    """The loss of a student with a teacher (Hinton et al. 2015, section 2).

    ``weight * logit loss + (1 - weight) * cross-entropy``, plus ``feature_weight * feature loss`` where
    there is one. The labels are not smoothed: the teacher's outputs already limit the confidence.

    Images without labels take part in all but the cross-entropy, which is divided by the share of
    labelled images in an epoch: on average over its batches it is the mean over the labelled ones.

    Args:
        config: the losses, their options and weights.
        offsets: ``(C,)``, added to the logits in the cross-entropy alone.

    Raises:
        UserError: a loss or an option is unknown; lists the known ones.
    """

    def __init__(self, config: LossConfig, offsets: torch.Tensor | None = None) -> None:
        super().__init__()
        self.config = config
        self.offsets = offsets
        self.logit_loss: DistillationLoss = LOGIT_LOSSES.create(config.name, options=config.options)
        self.kind = feature_kind(config)
        self.feature_loss: FeatureLoss | None = None  # until the sizes are known

    def adapt(self, student: nn.Module, batch: Batch) -> StudentLoss:
        """Create the feature loss for the sizes of student and teacher, which a batch shows.

        Its adapters draw from torch's global generator. The student is not changed.

        Raises:
            ValueError: no feature loss is configured.
        """
        name = self.config.feature_loss
        if name is None or self.kind is None:
            raise ValueError("no feature loss is configured")
        teacher = _teacher(batch).get(self.kind)
        mode = student.training
        # Only shapes matter here, and the student may be on another device than the batch.
        image = torch.zeros_like(batch.images[:1], device=next(student.parameters()).device)
        with torch.no_grad():
            own = signals_of(student.eval(), image, (self.kind,)).get(self.kind)
        student.train(mode)
        shapes = [torch.Size((1, *features.shape[1:])) for features in (own, teacher)]
        options = self.config.feature_options
        feature_loss: FeatureLoss = FEATURE_LOSSES.create(name, *shapes, options=options)
        self.feature_loss = feature_loss.to(batch.images.device)
        return self

    def forward(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """Return the mean loss of a batch, a scalar; the teacher's class stands for a missing label.

        Raises:
            ValueError: the batch has no signals of a teacher, or :meth:`adapt` was never called.
        """
        teacher = _teacher(batch)
        student = signals_of(model, batch.images, () if self.kind is None else (self.kind,))
        weight = self.config.weight
        labels = torch.where(batch.labels < 0, teacher.logits.argmax(dim=1), batch.labels)
        soft = self.logit_loss(student.logits, teacher.logits, labels)
        hard = adjusted_cross_entropy(student.logits, batch.targets, self.offsets) / batch.label_share
        total = weight * soft + (1 - weight) * hard
        if self.kind is None:
            return total
        if self.feature_loss is None:
            raise ValueError("adapt the loss to student and teacher first")
        features = self.feature_loss(student.get(self.kind), teacher.get(self.kind))
        return total + self.config.feature_weight * features


def feature_kind(config: LossConfig) -> Kind | None:
    """Return the kind of features that the configured loss compares, if any.

    Raises:
        UserError: the loss on features or an option is unknown; lists the known ones.
    """
    if config.feature_loss is None:
        return None
    loss: type[FeatureLoss] = FEATURE_LOSSES.load_with(config.feature_loss, config.feature_options)
    return loss.kind


def _teacher(batch: Batch) -> Signals:
    if batch.teacher is None:
        raise ValueError("the batch has no signals of a teacher")
    return batch.teacher
