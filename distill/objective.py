"""What a student minimises: its teacher's view of an image, and the label."""

from __future__ import annotations

from inspect import signature

import torch

from distill.losses import REGISTRY
from nas.config import LossConfig
from nas.errors import UserError
from training.batches import Batch
from training.fit import Loss, cross_entropy


def objective(
    config: LossConfig, smoothing: float, *, teacher: bool, offsets: torch.Tensor | None = None
) -> Loss:
    """The training loss.

    With a teacher, ``weight * distillation + (1 - weight) * cross-entropy`` (Hinton et al. 2015,
    section 2); without one, cross-entropy with label smoothing. The labels beside a teacher are not
    smoothed: its own outputs already say how sure to be.

    ``offsets`` adjust the cross-entropy alone. The teacher's outputs carry the class shares they were
    trained on, and the student is compared with them as they are. So the two terms ask for different
    things, and ``weight`` says how much of the adjustment is left: all at 0, none at 1.

    Args:
        config: the distillation loss, its options and its weight.
        smoothing: of the cross-entropy alone.
        teacher: whether batches carry a teacher's logits.
        offsets: ``(C,)``, added to the logits in the cross-entropy, see ``training.balance``.

    Raises:
        UserError: unknown loss or option; lists the known ones.
    """
    if not teacher:
        return cross_entropy(smoothing, offsets)
    kind = REGISTRY.load(config.name)
    known = signature(kind).parameters
    for name in config.options:
        if name not in known:
            raise UserError(
                f"loss {config.name!r} has no option {name!r}; it has: {', '.join(known) or 'none'}"
            )
    distillation = kind(**config.options)
    hard, weight = cross_entropy(0.0, offsets), config.weight

    def loss(logits: torch.Tensor, batch: Batch) -> torch.Tensor:
        if batch.teacher is None:
            raise ValueError("the batch carries no teacher logits")
        soft = distillation(logits, batch.teacher, batch.labels)
        return weight * soft + (1 - weight) * hard(logits, batch)

    return loss
