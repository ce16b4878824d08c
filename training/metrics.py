"""Classification metrics from scikit-learn, in one frozen record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike


@dataclass(frozen=True)
class Metrics:
    """Scores of predictions against labels.

    Attributes:
        f1: macro-F1, the unweighted mean of ``per_class_f1``, in 0..1.
        accuracy: share of images predicted right, in 0..1.
        balanced_accuracy: mean recall over the classes that occur in the labels, in 0..1.
        per_class_f1: F1 of each class, in class order; 0 for a class that is neither present
            nor predicted.
        confusion: ``confusion[i][j]`` images of class ``i`` were predicted as class ``j``.
    """

    f1: float
    accuracy: float
    balanced_accuracy: float
    per_class_f1: tuple[float, ...]
    confusion: tuple[tuple[int, ...], ...]

    @property
    def images(self) -> int:
        """Number of images that were scored."""
        return sum(map(sum, self.confusion))

    def to_dict(self) -> dict[str, Any]:
        """Return the metrics as plain lists and numbers, ready for JSON."""
        record = asdict(self)
        record["per_class_f1"] = list(self.per_class_f1)
        record["confusion"] = [list(row) for row in self.confusion]
        return record

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Metrics:
        """Restore metrics; the inverse of :meth:`to_dict`.

        Raises:
            KeyError, TypeError: ``record`` is something else.
        """
        return cls(
            f1=record["f1"],
            accuracy=record["accuracy"],
            balanced_accuracy=record["balanced_accuracy"],
            per_class_f1=tuple(record["per_class_f1"]),
            confusion=tuple(tuple(row) for row in record["confusion"]),
        )


def mean_recall(confusion: np.ndarray) -> float:
    """Return the balanced accuracy, 0..1, of a confusion matrix ``(classes, classes)``: true, predicted.

    scikit-learn's own function warns about every class that was predicted and does not occur.
    """
    support = confusion.sum(axis=1)
    present = support > 0
    recall = confusion.diagonal()[present] / support[present]
    return float(recall.mean())


def compute_metrics(
    labels: Sequence[int] | ArrayLike, predictions: Sequence[int] | ArrayLike, num_classes: int
) -> Metrics:
    """Score class indices against the truth.

    Args:
        labels: true class indices, shape (n,), each in 0..num_classes-1.
        predictions: predicted class indices, shape (n,).
        num_classes: how many classes there are; macro-F1 averages over all of them, also over
            one that is in neither ``labels`` nor ``predictions`` (it counts as 0).

    Raises:
        ValueError: the shapes differ, there is nothing to score, or an index is out of range.
    """
    from sklearn.metrics import confusion_matrix, f1_score

    truth, guess = np.asarray(labels), np.asarray(predictions)
    if truth.ndim != 1 or truth.shape != guess.shape:
        raise ValueError(
            f"labels and predictions must be two vectors of one length, "
            f"not {truth.shape} and {guess.shape}"
        )
    if truth.size == 0:
        raise ValueError("there are no predictions to score")
    for what, values in (("labels", truth), ("predictions", guess)):
        if values.min() < 0 or values.max() >= num_classes:
            raise ValueError(f"{what} must lie in 0..{num_classes - 1}")

    every = np.arange(num_classes)
    per_class = f1_score(truth, guess, labels=every, average=None, zero_division=0)
    confusion = confusion_matrix(truth, guess, labels=every)
    return Metrics(
        f1=float(np.mean(per_class)),
        accuracy=float(np.mean(truth == guess)),
        balanced_accuracy=mean_recall(confusion),
        per_class_f1=tuple(float(value) for value in per_class),
        confusion=tuple(tuple(int(count) for count in row) for row in confusion),
    )
