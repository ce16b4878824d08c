"""Relational distillation: match the distances and angles between images.

Park, Kim, Lu and Cho, "Relational Knowledge Distillation", CVPR 2019, arXiv:1904.05068.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from distill.losses.base import FeatureLoss, check_features, checked_option
from training.signals import at_least_fp32


def rkd_distance(student: Tensor, teacher: Tensor) -> Tensor:
    """Return the Huber loss between distances of all pairs, in units of their mean (equations 4 to 6).

    Args:
        student: ``(B, Ds)`` with B >= 2.
        teacher: ``(B, Dt)``; no gradient flows into them.

    Raises:
        ValueError: the shapes do not fit.
    """
    check_features(student, teacher, same=False)
    return F.smooth_l1_loss(_distances(student), _distances(teacher.detach()))


def rkd_angle(student: Tensor, teacher: Tensor) -> Tensor:
    """Return the Huber loss between the cosines of the angles of all triplets (equations 7 and 8).

    Args:
        student: ``(B, Ds)``.
        teacher: ``(B, Dt)``; no gradient flows into them.

    Raises:
        ValueError: the shapes do not fit.
    """
    check_features(student, teacher, same=False)
    return F.smooth_l1_loss(_cosines(student), _cosines(teacher.detach()))


def _distances(features: Tensor) -> Tensor:
    """Return the distances of all pairs, ``(B (B - 1) / 2,)``, in units of their mean."""
    distances = F.pdist(at_least_fp32(features))
    return distances / distances.detach().mean().clamp_min(1e-12)


def _cosines(features: Tensor) -> Tensor:
    """Return the cosines of all triplets, ``(B, B, B)``; the angle is at the first image."""
    wide = at_least_fp32(features)
    towards = F.normalize(wide[None] - wide[:, None], dim=2)
    return torch.bmm(towards, towards.transpose(1, 2))


class RKD(FeatureLoss):
    """Park et al. 2019: distances and angles between the images of a batch.

    Each of several processes relates its own images.
    """

    name: ClassVar[str] = "rkd"
    kind = "pooled"

    def __init__(
        self, student: torch.Size, teacher: torch.Size, *, distance: float = 25.0, angle: float = 50.0
    ) -> None:
        super().__init__()
        self.distance = checked_option(self.name, "distance", distance, positive=False)
        self.angle = checked_option(self.name, "angle", angle, positive=False)

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        """Return the weighted sum of :func:`rkd_distance` and :func:`rkd_angle`."""
        return self.distance * rkd_distance(student, teacher) + self.angle * rkd_angle(student, teacher)
