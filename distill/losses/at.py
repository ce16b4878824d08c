"""Attention transfer: a student whose attention maps match its teacher's.

Zagoruyko and Komodakis, "Paying More Attention to Attention", ICLR 2017, arXiv:1612.03928.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from distill.losses.base import FeatureLoss
from training.signals import at_least_fp32


def at(student: Tensor, teacher: Tensor) -> Tensor:
    """Return the squared distance between attention maps of unit length (equation 2), summed over levels.

    Args:
        student: ``(B, Ls, h, w)`` attention maps, the deepest last.
        teacher: ``(B, Lt, h, w)``; no gradient flows into them. Levels are matched from the deepest.

    Returns:
        A scalar, 0 to 2 per level for maps without negative values.

    Raises:
        ValueError: the shapes do not fit.
    """
    if (
        student.ndim != 4
        or student.shape[0] != teacher.shape[0]
        or student.shape[2:] != teacher.shape[2:]
    ):
        raise ValueError(
            f"attention maps must be (B, L, h, w) with equal B, h and w, "
            f"got {tuple(student.shape)} and {tuple(teacher.shape)}"
        )
    levels = min(student.shape[1], teacher.shape[1])
    units = [
        F.normalize(at_least_fp32(maps)[:, -levels:].flatten(2), dim=2)
        for maps in (student, teacher.detach())
    ]
    return (units[0] - units[1]).square().sum(dim=2).mean(dim=0).sum()


class AT(FeatureLoss):
    """Zagoruyko and Komodakis 2017: squared-activation maps at up to three depths."""

    name: ClassVar[str] = "at"
    kind = "attention"

    def __init__(self, student: torch.Size, teacher: torch.Size) -> None:
        super().__init__()

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        """Return :func:`at`."""
        return at(student, teacher)
