"""Knowledge distillation: match the teacher's softened class probabilities.

Hinton, Vinyals and Dean, "Distilling the Knowledge in a Neural Network", 2015, arXiv:1503.02531.
"""

from __future__ import annotations

from typing import ClassVar

import torch.nn.functional as F
from torch import Tensor

from distill.losses.base import DistillationLoss, check_inputs, checked_option
from training.signals import at_least_fp32


def kd(student_logits: Tensor, teacher_logits: Tensor, labels: Tensor, *, temperature: float) -> Tensor:
    """Return T^2 KL(p || q), p and q being the softened teacher and student, averaged over a batch.

    The probabilities are those of section 2, equation 1: ``q_i = exp(z_i/T) / sum_j exp(z_j/T)``.
    The KL divergence has the gradient of the paper's cross-entropy with soft targets (equation 2)
    and is zero where student and teacher agree. The factor T^2 compensates for the gradient, which
    falls as 1/T^2 when the temperature rises (end of section 2). For a large T the loss tends to
    ``1/(2C) sum_i (z_i - v_i)^2`` with centred logits z and v (section 2.1, equation 4).

    Args:
        student_logits: z, ``(B, C)``; half precision is computed in float32.
        teacher_logits: v, ``(B, C)``; no gradient flows into them.
        labels: ``(B,)`` int64; not used, all losses have the same arguments.
        temperature: T, above 0.

    Returns:
        A scalar, at least 0.

    Raises:
        ValueError: the temperature is not finite and positive, or the shapes do not fit.
    """
    check_inputs(student_logits, teacher_logits, temperature)
    log_q = F.log_softmax(at_least_fp32(student_logits) / temperature, dim=1)
    log_p = F.log_softmax(at_least_fp32(teacher_logits).detach() / temperature, dim=1)
    return temperature**2 * F.kl_div(log_q, log_p, reduction="batchmean", log_target=True)


class KD(DistillationLoss):
    """Hinton et al. 2015: KL divergence between softened class probabilities."""

    name: ClassVar[str] = "kd"

    def __init__(self, *, temperature: float = 1.0) -> None:
        self.temperature = checked_option(self.name, "temperature", temperature, positive=True)

    def __call__(self, student_logits: Tensor, teacher_logits: Tensor, labels: Tensor) -> Tensor:
        """Return :func:`kd` at this temperature."""
        return kd(student_logits, teacher_logits, labels, temperature=self.temperature)
