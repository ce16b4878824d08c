"""Interfaces and registries of the distillation losses, and the checks that they share."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import ClassVar

from torch import Tensor, nn

from core.errors import UserError, short
from core.plugins import Registry
from training.signals import Kind


class DistillationLoss(ABC):
    """Distance between a student's logits and its teacher's.

    The options of a subclass are the keyword arguments of its ``__init__``, each with a default. Lists
    show the first paragraph of its docstring. Plugins register in the entry-point group
    ``minnow.losses``.
    """

    name: ClassVar[str]

    @abstractmethod
    def __call__(self, student_logits: Tensor, teacher_logits: Tensor, labels: Tensor) -> Tensor:
        """Return the mean loss of a batch, a scalar with gradients for the student.

        Args:
            student_logits: ``(B, C)``, any floating dtype.
            teacher_logits: ``(B, C)``, any floating dtype; treated as constants.
            labels: ``(B,)`` int64, in ``0..C-1``.
        """


class FeatureLoss(nn.Module, ABC):
    """Distance between a student's features and its teacher's.

    A subclass takes the shapes of both features, ``(1, ...)``; its options are keyword arguments, each
    with a default. Its parameters (adapters between features of different sizes) are trained with the
    student and then dropped. Plugins register in the entry-point group ``minnow.feature_losses``.
    """

    name: ClassVar[str]
    kind: ClassVar[Kind]  #: "pooled" or "attention", see training.signals

    @abstractmethod
    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        """Return the mean loss of a batch, a scalar with gradients for the student.

        Args:
            student: ``(B, ...)``, of this loss's kind.
            teacher: ``(B, ...)``, treated as constants.
        """


LOGIT_LOSSES = Registry(
    kind="loss",
    group="minnow.losses",
    base=DistillationLoss,
    builtins={
        "kd": "distill.losses.kd:KD",
        "dkd": "distill.losses.dkd:DKD",
        "dist": "distill.losses.dist:DIST",
        "ls": "distill.losses.ls:LS",
    },
)

FEATURE_LOSSES = Registry(
    kind="feature loss",
    group="minnow.feature_losses",
    base=FeatureLoss,
    builtins={
        "hint": "distill.losses.hint:Hint",
        "at": "distill.losses.at:AT",
        "rkd": "distill.losses.rkd:RKD",
    },
    arguments=("student", "teacher"),
)


def check_features(student: Tensor, teacher: Tensor, *, same: bool) -> None:
    """Check pooled features.

    Args:
        student: must be ``(B, D)``.
        teacher: must be ``(B, D)``.
        same: whether both must have the same D.

    Raises:
        ValueError: the shapes do not fit.
    """
    shapes = tuple(student.shape), tuple(teacher.shape)
    fit = len(shapes[0]) == len(shapes[1]) == 2 and shapes[0][0] == shapes[1][0]
    if not fit or (same and shapes[0] != shapes[1]):
        raise ValueError(f"features do not fit: {shapes[0]} and {shapes[1]}")


def check_inputs(student_logits: Tensor, teacher_logits: Tensor, temperature: float) -> None:
    """Check the arguments of a loss on logits.

    Raises:
        ValueError: the temperature is not finite and positive; the logits are not two tensors of one
            shape ``(B, C)`` with at least one row and two columns.
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


def checked_option(loss: str, name: str, value: float, *, positive: bool) -> float:
    """Return a user's number as a float.

    Raises:
        UserError: it is not finite, below 0, or 0 where it must be positive.
    """
    good = isinstance(value, int | float) and math.isfinite(value)
    if not good or value < 0 or (positive and value == 0):
        bound = "above 0" if positive else "0 or above"
        raise UserError(f"loss '{loss}': {name} must be a finite number {bound}, got {short(value)}")
    return float(value)
