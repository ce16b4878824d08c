"""Hints: a student whose features predict its teacher's.

Romero, Ballas, Ebrahimi Kahou, Chassang, Gatta and Bengio, "FitNets: Hints for Thin Deep Nets",
ICLR 2015, arXiv:1412.6550.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from distill.losses.base import FeatureLoss, check_features
from training.signals import at_least_fp32


def hint(student: Tensor, teacher: Tensor) -> Tensor:
    """Return the mean cosine distance between the student's regressed and the teacher's features.

    It is the paper's squared error (equation 3) between features of unit length, halved. Only directions
    count, so that one weight serves teachers whose features differ in scale by orders.

    Args:
        student: ``(B, D)``, regressed to the teacher's size.
        teacher: ``(B, D)``; no gradient flows into them.

    Returns:
        A scalar in 0..2.

    Raises:
        ValueError: the shapes do not fit.
    """
    check_features(student, teacher, same=True)
    similarity = F.cosine_similarity(at_least_fp32(student), at_least_fp32(teacher).detach(), dim=1)
    return (1 - similarity).mean()


class Hint(FeatureLoss):
    """Romero et al. 2015: regress the teacher's pooled features from the student's."""

    name: ClassVar[str] = "hint"
    kind = "pooled"

    def __init__(self, student: torch.Size, teacher: torch.Size) -> None:
        super().__init__()
        self.regressor = nn.Linear(student[-1], teacher[-1])

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        """Return :func:`hint` of the regressed features."""
        return hint(self.regressor(student), teacher)
