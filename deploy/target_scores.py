"""Scores of a network on the runtime and at the precision of a target."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import nn

from deploy.targets import connect, runnable
from deploy.targets.base import ConvertedModel
from deploy.targets.conversion import convert
from deploy.targets.session import Session
from training.data.images import ImageSet
from training.preprocess import Normalization, resize

_CALIBRATION = 64  # training images, for a score in passing
_BATCH = 64


def logits_on(
    target: str,
    model: nn.Module,
    data: ImageSet,
    indices: np.ndarray,
    *,
    resolution: int,
    normalization: Normalization,
) -> np.ndarray:
    """Return logits ``(n, C)`` float32 of stored images on a target, by its usual quantisation.

    Args:
        target: as for :func:`deploy.targets.parse`; for a profile, its runtime computes here.
        model: maps normalised ``(N, 3, r, r)`` to logits; it is not changed.
        data: the images; some of those to train on calibrate a quantisation.
        indices: ``(n,)`` of the images.
        resolution: side r, pixels.
        normalization: of the network's input.

    Raises:
        UserError: no such target, or something is missing for it.
        ModelError: the network cannot be converted, or the runtime cannot run it.
    """
    session = connect(runnable(target))
    calibration = network_inputs(data, spread(data.splits["train"], _CALIBRATION), resolution)
    converted = convert(
        session.target, model, resolution, normalization=normalization, images=calibration
    )
    return logits_of_model(session, converted, data, indices, resolution)


def logits_of_model(
    session: Session, model: ConvertedModel, data: ImageSet, indices: np.ndarray, resolution: int
) -> np.ndarray:
    """Return logits ``(n, C)`` float32 of stored images by a converted model."""
    parts = [session.logits(model, inputs) for inputs in _batches(data, indices, resolution)]
    return np.concatenate(parts)


def network_inputs(data: ImageSet, indices: np.ndarray, resolution: int) -> np.ndarray:
    """Return stored images as a converted network's input, ``(n, 3, r, r)`` float32 in 0..1."""
    pixels = torch.from_numpy(np.ascontiguousarray(data.images[indices])).permute(0, 3, 1, 2)
    return resize(pixels, resolution).contiguous().numpy().astype(np.float32) / np.float32(255)


def spread(indices: np.ndarray, count: int) -> np.ndarray:
    """Return up to ``count`` of the indices, evenly spread over them."""
    places = np.linspace(0, len(indices) - 1, min(count, len(indices))).round().astype(int)
    return np.asarray(indices[places])


def _batches(data: ImageSet, indices: np.ndarray, resolution: int) -> Iterator[np.ndarray]:
    for start in range(0, len(indices), _BATCH):
        yield network_inputs(data, indices[start : start + _BATCH], resolution)
