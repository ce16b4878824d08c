"""A second implementation of inference and of its scores, for the tests of distillation."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score
from torch import nn

from training.data.images import ImageSet

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet


@pytest.fixture(scope="session")
def plain_logits() -> Callable[[nn.Module, ImageSet, str], np.ndarray]:
    """``plain_logits(model, data, split)`` of images at their stored size, in one batch of plain torch."""

    def compute(model: nn.Module, data: ImageSet, split: str) -> np.ndarray:
        pixels = data.images[data.splits[split]].astype(np.float32) / 255
        inputs = ((pixels - np.float32(MEAN)) / np.float32(STD)).transpose(0, 3, 1, 2)
        with torch.no_grad():
            return model.eval()(torch.from_numpy(np.ascontiguousarray(inputs))).numpy()

    return compute


@pytest.fixture(scope="session")
def check_scores() -> Callable[..., None]:
    """``check_scores(metrics, logits, data, split)``: scores are those of scikit-learn."""

    def check(metrics: dict, logits: np.ndarray, data: ImageSet, split: str) -> None:
        labels, predicted = data.labels[data.splits[split]], logits.argmax(axis=1)
        classes = range(data.num_classes)
        f1 = f1_score(labels, predicted, labels=classes, average="macro", zero_division=0)
        assert metrics["f1"] == pytest.approx(f1, abs=1e-12)
        assert metrics["accuracy"] == pytest.approx(accuracy_score(labels, predicted), abs=1e-12)
        expected = confusion_matrix(labels, predicted, labels=classes)
        assert np.array_equal(metrics["confusion"], expected)

    return check
