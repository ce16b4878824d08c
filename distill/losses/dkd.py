"""Decoupled knowledge distillation: separate weights for the target class and the others.

Zhao, Cui, Song, Qiu and Liang, "Decoupled Knowledge Distillation", CVPR 2022, arXiv:2203.08679.
"""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from distill.losses.base import DistillationLoss, check_inputs, checked_option
from training.signals import at_least_fp32


def dkd_terms(
    student_logits: Tensor, teacher_logits: Tensor, labels: Tensor, *, temperature: float
) -> tuple[Tensor, Tensor]:
    """Split each image's KL divergence into its target and its non-target part.

    With p_t the teacher's softened probability of the label, section 3.1, equation 6, states
    ``KL(p^T || p^S) = TCKD + (1 - p_t^T) NCKD``.

    Args:
        student_logits: ``(B, C)``; half precision is computed in float32.
        teacher_logits: ``(B, C)``; no gradient flows into them.
        labels: ``(B,)`` int64, in ``0..C-1``.
        temperature: T, above 0.

    Returns:
        TCKD ``(B,)``, the divergence between the binary distributions (label, any other class), and
        NCKD ``(B,)``, that between the distributions over the C - 1 other classes, neither scaled
        by T^2. NCKD is zero where C is 2.

    Raises:
        ValueError: the temperature is not finite and positive, or the shapes do not fit.
    """
    check_inputs(student_logits, teacher_logits, temperature)
    if tuple(labels.shape) != tuple(student_logits.shape[:1]):
        raise ValueError(f"labels must be ({student_logits.shape[0]},), got {tuple(labels.shape)}")
    student = at_least_fp32(student_logits) / temperature
    teacher = at_least_fp32(teacher_logits).detach() / temperature
    log_b_student, log_hat_student = _decouple(student, labels)
    log_b_teacher, log_hat_teacher = _decouple(teacher, labels)
    return _kl(log_b_teacher, log_b_student), _kl(log_hat_teacher, log_hat_student)


def dkd(
    student_logits: Tensor,
    teacher_logits: Tensor,
    labels: Tensor,
    *,
    temperature: float,
    alpha: float | Tensor,
    beta: float | Tensor,
) -> Tensor:
    """Return T^2 (alpha TCKD + beta NCKD), averaged over the batch (section 3.2, equation 7).

    The factor T^2 is that of :func:`distill.losses.kd.kd`, as in the authors' code.

    Args:
        student_logits: ``(B, C)``; half precision is computed in float32.
        teacher_logits: ``(B, C)``; no gradient flows into them.
        labels: ``(B,)`` int64, in ``0..C-1``.
        temperature: T, above 0.
        alpha: weight of the target part, a number or ``(B,)``.
        beta: weight of the non-target part, a number or ``(B,)``. With alpha 1 and, for each image,
            beta ``1 - p_t^T``, the loss is classical distillation.

    Returns:
        A scalar; at least 0 where alpha and beta are.

    Raises:
        ValueError: the temperature is not finite and positive, or the shapes do not fit.
    """
    tckd, nckd = dkd_terms(student_logits, teacher_logits, labels, temperature=temperature)
    return temperature**2 * (alpha * tckd + beta * nckd).mean()


class DKD(DistillationLoss):
    """Zhao et al. 2022: separate terms for the target class and for the other classes."""

    name: ClassVar[str] = "dkd"

    def __init__(self, *, temperature: float = 4.0, alpha: float = 1.0, beta: float = 8.0) -> None:
        self.temperature = checked_option(self.name, "temperature", temperature, positive=True)
        self.alpha = checked_option(self.name, "alpha", alpha, positive=False)
        self.beta = checked_option(self.name, "beta", beta, positive=False)

    def __call__(self, student_logits: Tensor, teacher_logits: Tensor, labels: Tensor) -> Tensor:
        """Return :func:`dkd` with these options."""
        return dkd(
            student_logits,
            teacher_logits,
            labels,
            temperature=self.temperature,
            alpha=self.alpha,
            beta=self.beta,
        )


def _decouple(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Return log b ``(B, 2)`` and log p-hat ``(B, C - 1)`` of softened logits (section 3.1).

    The label's column is removed rather than masked with a large negative number: nothing
    underflows, and b follows from the margin of the label over all other classes together.
    """
    batch, classes = logits.shape
    is_target = F.one_hot(labels, classes).bool()
    target = logits[is_target]
    others = logits[~is_target].view(batch, classes - 1)
    margin = target - torch.logsumexp(others, dim=1)
    log_b = torch.stack((F.logsigmoid(margin), F.logsigmoid(-margin)), dim=1)
    return log_b, F.log_softmax(others, dim=1)


def _kl(log_p: Tensor, log_q: Tensor) -> Tensor:
    """Return KL(p || q) of each row, ``(B,)``."""
    return F.kl_div(log_q, log_p, reduction="none", log_target=True).sum(dim=1)
