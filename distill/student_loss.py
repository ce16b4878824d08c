"""What a student minimises: its teacher's view of an image, and the label."""

from __future__ import annotations

import torch
from torch import nn

from core.config import LossConfig
from distill.losses import FeatureLoss, load_feature_loss, make_logit_loss
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
    """What the student minimises on these batches.

    ``offsets`` adjust the cross-entropy alone. The teacher's outputs carry the class shares they were
    trained on, and the student is compared with them as they are. So the two terms ask for different
    things, and ``weight`` says how much of the adjustment is left: all at 0, none at 1.

    Args:
        config: used where the batches carry what a teacher says.
        smoothing: of the labels where they do not.
        student: whose features are compared; not changed.
        batches: of the training.
        offsets: ``(C,)``, added to the logits in the cross-entropy, see ``training.balance``.

    Raises:
        UserError: unknown loss or option; lists the known ones.
    """
    if batches.outputs is None:
        return cross_entropy(smoothing, offsets)
    made = StudentLoss(config, offsets)
    return made if made.kind is None else made.adapt(student, next(batches.epoch(0)))


class StudentLoss(nn.Module):
    """The loss of a student with a teacher (Hinton et al. 2015, section 2).

    ``weight * logit loss + (1 - weight) * cross-entropy``, plus ``feature_weight * feature loss`` where
    there is one. The labels are not smoothed: the teacher's own outputs already say how sure to be.

    Args:
        config: the losses, their options and weights.
        offsets: ``(C,)``, added to the logits in the cross-entropy alone.

    Raises:
        UserError: unknown loss or option; lists the known ones.
    """

    def __init__(self, config: LossConfig, offsets: torch.Tensor | None = None) -> None:
        super().__init__()
        self.config = config
        self.offsets = offsets
        self.logit_loss = make_logit_loss(config.name, config.options)
        self.kind = feature_kind(config)
        self.feature_loss: FeatureLoss | None = None  # once the sizes are known

    def adapt(self, student: nn.Module, batch: Batch) -> StudentLoss:
        """Make the feature loss for the sizes that student and teacher have; a batch shows them.

        Its adapters draw from torch's global generator. The student is not changed.

        Raises:
            ValueError: no feature loss is configured.
        """
        name = self.config.feature_loss
        if name is None or self.kind is None:
            raise ValueError("no feature loss is configured")
        teacher = _teacher(batch).get(self.kind)
        mode = student.training
        # Only shapes count here, and the student may be on another device than the batch.
        image = torch.zeros_like(batch.images[:1], device=next(student.parameters()).device)
        with torch.no_grad():
            seen = signals_of(student.eval(), image, (self.kind,)).get(self.kind)
        student.train(mode)
        shapes = [torch.Size((1, *features.shape[1:])) for features in (seen, teacher)]
        kind = load_feature_loss(name, self.config.feature_options)
        self.feature_loss = kind(*shapes, **self.config.feature_options).to(batch.images.device)
        return self

    def forward(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """The mean loss of a batch, a scalar.

        Raises:
            ValueError: the batch carries no teacher's signals, or :meth:`adapt` was never called.
        """
        teacher = _teacher(batch)
        student = signals_of(model, batch.images, () if self.kind is None else (self.kind,))
        weight = self.config.weight
        soft = self.logit_loss(student.logits, teacher.logits, batch.labels)
        hard = adjusted_cross_entropy(student.logits, batch.targets, self.offsets)
        total = weight * soft + (1 - weight) * hard
        if self.kind is None:
            return total
        if self.feature_loss is None:
            raise ValueError("adapt the objective to student and teacher first")
        features = self.feature_loss(student.get(self.kind), teacher.get(self.kind))
        return total + self.config.feature_weight * features


def feature_kind(config: LossConfig) -> Kind | None:
    """Which features the configured losses look at, if any.

    Raises:
        UserError: unknown feature loss or option; lists the known ones.
    """
    if config.feature_loss is None:
        return None
    return load_feature_loss(config.feature_loss, config.feature_options).kind


def _teacher(batch: Batch) -> Signals:
    if batch.teacher is None:
        raise ValueError("the batch carries no teacher's signals")
    return batch.teacher
