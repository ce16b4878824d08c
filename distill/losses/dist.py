"""DIST: match the teacher's ranking, by correlation instead of by value.

Huang, You, Wang, Qian and Xu, "Knowledge Distillation from A Stronger Teacher", NeurIPS 2022,
arXiv:2205.10536.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from distill.losses.base import DistillationLoss, check_inputs, checked_option
from training.signals import at_least_fp32

_EPSILON = 1e-12


def pearson_distance(first: Tensor, second: Tensor) -> Tensor:
    """Return 1 - Pearson correlation, averaged over rows (equations 5 and 6).

    Args:
        first: ``(rows, n)``.
        second: ``(rows, n)``. A constant row has no direction and counts as 1.

    Returns:
        A scalar in 0..2; 0 where each row is a scaled and shifted copy of its counterpart.
    """
    centred = [rows - rows.mean(dim=1, keepdim=True) for rows in (first, second)]
    # Row by row and not through cosine_similarity, whose floor of 1e-8 would break the scale invariance.
    norms = [rows.square().sum(dim=1).clamp_min(_EPSILON**2).sqrt() for rows in centred]
    return 1 - ((centred[0] * centred[1]).sum(dim=1) / (norms[0] * norms[1])).mean()


def dist(
    student_logits: Tensor,
    teacher_logits: Tensor,
    labels: Tensor,
    *,
    temperature: float,
    inter: float,
    intra: float,
) -> Tensor:
    """Return the weighted sum of the inter-class and the intra-class loss (equation 11), times T^2.

    Inter-class compares the probabilities of an image over the classes (equation 8), intra-class those of
    a class over the batch (equation 10). Each of several processes compares its own images.
    The factor T^2 keeps the gradient's size as the temperature rises, as in Hinton et al.

    Args:
        student_logits: ``(B, C)``; half precision is computed in float32.
        teacher_logits: ``(B, C)``; no gradient flows into them.
        labels: ``(B,)`` int64; not used, all losses have the same arguments.
        temperature: T, above 0.
        inter: weight of the inter-class loss, beta.
        intra: weight of the intra-class loss, gamma.

    Raises:
        ValueError: the temperature is not finite and positive, or the shapes do not fit.
    """
    check_inputs(student_logits, teacher_logits, temperature)
    student = torch.softmax(at_least_fp32(student_logits) / temperature, dim=1)
    teacher = torch.softmax(at_least_fp32(teacher_logits).detach() / temperature, dim=1)
    return temperature**2 * (
        inter * pearson_distance(student, teacher) + intra * pearson_distance(student.T, teacher.T)
    )


class DIST(DistillationLoss):
    """Huang et al. 2022: correlation of the probabilities, within images and within classes."""

    name: ClassVar[str] = "dist"

    def __init__(self, *, temperature: float = 1.0, inter: float = 1.0, intra: float = 1.0) -> None:
        self.temperature = checked_option(self.name, "temperature", temperature, positive=True)
        self.inter = checked_option(self.name, "inter", inter, positive=False)
        self.intra = checked_option(self.name, "intra", intra, positive=False)

    def __call__(self, student_logits: Tensor, teacher_logits: Tensor, labels: Tensor) -> Tensor:
        """Return :func:`dist` with these options."""
        return dist(
            student_logits,
            teacher_logits,
            labels,
            temperature=self.temperature,
            inter=self.inter,
            intra=self.intra,
        )
