"""Outputs and scores of a network on stored images, without augmentation."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from training.data.images import ImageSet
from training.metrics import Metrics, compute_metrics
from training.preprocess import Normalization, prepare
from training.views import stored


def logits_of(
    model: nn.Module,
    data: ImageSet,
    indices: np.ndarray,
    *,
    resolution: int,
    normalization: Normalization,
    batch_size: int = 64,
) -> np.ndarray:
    """Return logits ``(n, C)`` float32 of stored images, in eval mode and without gradients.

    The model's own mode is restored.
    """
    device = next(model.parameters()).device
    mode = model.training
    model.eval()
    parts = []
    with torch.inference_mode():
        for start in range(0, len(indices), batch_size):
            pixels = stored(data, indices[start : start + batch_size], device)
            parts.append(model(prepare(pixels, resolution, normalization)).float().cpu().numpy())
    model.train(mode)
    return np.concatenate(parts)


def evaluate(
    model: nn.Module,
    data: ImageSet,
    split: str,
    *,
    resolution: int,
    normalization: Normalization,
) -> Metrics:
    """Return scores on ``"train"``, ``"val"`` or ``"test"``."""
    indices = data.splits[split]
    logits = logits_of(model, data, indices, resolution=resolution, normalization=normalization)
    return score_logits(logits, data, indices)


def score_logits(logits: np.ndarray, data: ImageSet, indices: np.ndarray) -> Metrics:
    """Return scores of the logits ``(n, C)`` of the images ``indices``."""
    return compute_metrics(data.labels[indices], logits.argmax(axis=1), data.num_classes)
