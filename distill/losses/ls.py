"""Logit standardisation: a student that matches the teacher's logits up to scale and shift.

Sun, Ren, Li, Wang and Cao, "Logit Standardization in Knowledge Distillation", CVPR 2024,
arXiv:2403.01427.
"""

from __future__ import annotations

from typing import Any, ClassVar

from torch import Tensor

from core.errors import UserError, short
from distill.losses.base import LOGIT_LOSSES, DistillationLoss
from training.signals import at_least_fp32

_EPSILON = 1e-7


def standardize(logits: Tensor) -> Tensor:
    """Return the Z-scores of each row (equation 9 and algorithm 1): mean 0, standard deviation 1.

    Args:
        logits: ``(B, C)``; half precision is computed in float32. A constant row becomes 0.
    """
    wide = at_least_fp32(logits)
    centred = wide - wide.mean(dim=1, keepdim=True)
    return centred / (wide.std(dim=1, keepdim=True) + _EPSILON)


class LS(DistillationLoss):
    """Sun et al. 2024: another loss (its option ``of``, by default kd) on standardised logits."""

    name: ClassVar[str] = "ls"

    def __init__(self, *, of: str = "kd", **options: Any) -> None:
        if not isinstance(of, str):
            raise UserError(f"loss 'ls': of must be the name of a loss, as in of=kd, got {short(of)}")
        if of == self.name:
            raise UserError("loss 'ls' cannot standardise itself: choose another one, as in of=kd")
        # The paper's base temperature; Z-scores are so small that a higher one would flatten both.
        names = LOGIT_LOSSES.option_names(LOGIT_LOSSES.load(of)) or ()
        base = {"temperature": 2.0} if "temperature" in names else {}
        self.loss: DistillationLoss = LOGIT_LOSSES.create(of, options={**base, **options})

    def __call__(self, student_logits: Tensor, teacher_logits: Tensor, labels: Tensor) -> Tensor:
        """Return the other loss of the standardised logits."""
        return self.loss(standardize(student_logits), standardize(teacher_logits), labels)
