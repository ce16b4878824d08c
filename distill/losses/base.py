"""What a distillation loss must offer, and the checks that all of them share."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import ClassVar

from torch import Tensor, nn

from core.errors import UserError
from training.signals import Kind


class DistillationLoss(ABC):
    """How far a student's outputs are from its teacher's; a subclass's first line is shown.

    A subclass names its options as keyword arguments of ``__init__``, each with a default. Plugins
    register in the entry-point group ``minnow.losses``.
    """

    name: ClassVar[str]

    @abstractmethod
    def __call__(self, student_logits: Tensor, teacher_logits: Tensor, labels: Tensor) -> Tensor:
        """Return the batch's mean loss, a scalar that gradients flow from into the student.

        Args:
            student_logits: ``(B, C)``, any floating dtype.
            teacher_logits: ``(B, C)``, any floating dtype; treated as constants.
            labels: ``(B,)`` int64, in ``0..C-1``.
        """


class FeatureLoss(nn.Module, ABC):
    """How far a student's features are from its teacher's; a subclass's first line is shown.

    A subclass takes the shapes of both features, ``(1, ...)``, and names its options as keyword
    arguments, each with a default. Its parameters (adapters between features of different sizes) are
    trained along and thrown away. Plugins register in the entry-point group ``minnow.feature_losses``.
    """

    name: ClassVar[str]
    kind: ClassVar[Kind]  #: which features: "pooled" or "attention", see training.signals

    @abstractmethod
    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        """Return the batch's mean loss, a scalar that gradients flow from into the student.

        Args:
            student: ``(B, ...)``, of this loss's kind.
            teacher: ``(B, ...)``, treated as constants.
        """


def check_features(student: Tensor, teacher: Tensor, *, same: bool) -> None:
    """Check pooled features.

    Raises:
        ValueError: not two matrices of as many rows, or, where they must, as many columns.
    """
    shapes = tuple(student.shape), tuple(teacher.shape)
    fit = len(shapes[0]) == len(shapes[1]) == 2 and shapes[0][0] == shapes[1][0]
    if not fit or (same and shapes[0] != shapes[1]):
        raise ValueError(f"features do not fit: {shapes[0]} and {shapes[1]}")


def check_inputs(student_logits: Tensor, teacher_logits: Tensor, temperature: float) -> None:
    """Check what every loss on logits needs.

    Raises:
        ValueError: The temperature is not a finite positive number, or the logits are not two
            tensors of one shape ``(B, C)`` with at least one row and two columns.
    """
    if not (math.isfinite(temperature) and temperature > 0):
        raise ValueError(f"temperature must be finite and above 0, got {temperature}")
    shape = tuple(student_logits.shape)
    if shape != tuple(teacher_logits.shape):
        raise ValueError(
            f"student and teacher logits differ in shape: {shape} and {tuple(teacher_logits.shape)}"
        )
    if len(shape) != 2 or shape[0] < 1 or shape[1] < 2:
        raise ValueError(f"logits must be (B, C) with B >= 1 and C >= 2, got {shape}")


def option(loss: str, name: str, value: float, *, positive: bool) -> float:
    """Check a number that a user may have set, and return it as a float.

    Raises:
        UserError: It is not finite, below 0, or 0 where it must be positive.
    """
    good = isinstance(value, int | float) and math.isfinite(value)
    if not good or value < 0 or (positive and value == 0):
        bound = "above 0" if positive else "0 or above"
        raise UserError(f"loss '{loss}': {name} must be a finite number {bound}, got {value!r}")
    return float(value)
