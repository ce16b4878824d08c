"""Scores as they are stored in JSON, checked when they are read back."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from training.metrics import mean_recall

_ROUNDING = 1e-6
Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0, lt=2**63)]


class StoredRecord(BaseModel):
    """Base of the models of stored files: finite numbers only, unknown entries are left alone."""

    model_config = ConfigDict(strict=True, frozen=True, extra="ignore", allow_inf_nan=False)


class ScoreRecord(StoredRecord):
    """Scores on the images of one split, each in 0..1, and the confusion matrix (true, predicted)."""

    f1: Share
    accuracy: Share
    balanced_accuracy: Share
    per_class_f1: list[Share]
    confusion: list[list[Count]]

    @model_validator(mode="after")
    def _follows_from_the_confusion(self) -> ScoreRecord:
        classes = len(self.per_class_f1)
        if not classes or [len(row) for row in self.confusion] != [classes] * classes:
            raise ValueError(f"expected a confusion matrix of {classes} x {classes} classes")
        counts = np.array(self.confusion, dtype=float)
        right, true, predicted = counts.diagonal(), counts.sum(axis=1), counts.sum(axis=0)
        per_class = 2 * right / np.maximum(true + predicted, 1)
        expected = {
            "f1": per_class.mean(),
            "accuracy": right.sum() / max(true.sum(), 1),
            "balanced_accuracy": mean_recall(counts) if true.any() else 0.0,
        }
        for name, value in expected.items():
            if abs(getattr(self, name) - value) > _ROUNDING:
                raise ValueError(f"{name} does not follow from the confusion matrix")
        if np.abs(per_class - self.per_class_f1).max() > _ROUNDING:
            raise ValueError("per_class_f1 does not follow from the confusion matrix")
        return self
