"""A teacher and what it says, ready for a training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from teachers.ensemble import Teachers
from training.batches import Outputs
from training.metrics import Metrics


@dataclass(frozen=True)
class Taught:
    """A teacher and what it says.

    Attributes:
        teacher: one network or several, frozen.
        val: its scores on validation.
        outputs: for every view of the recipe.
        costs: its ``params`` and ``macs``, for the report.
        disagreement: share of training images that two of several teachers class differently.
    """

    teacher: Teachers
    val: Metrics
    outputs: Outputs
    costs: Mapping[str, int]
    disagreement: float | None = None
