"""Recalibration of batch norm: new statistics for weights that were changed without training."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from training.augment import Augmentation
from training.data.images import ImageSet
from training.preprocess import Normalization, prepare
from training.views import seen

IMAGES = 1_000
_BATCH = 125


def recalibrate(
    model: nn.Module,
    data: ImageSet,
    augmentation: Augmentation,
    *,
    resolution: int,
    normalization: Normalization,
    images: int = IMAGES,
    seed: int = 0,
) -> nn.Module:
    """Replace the running mean and variance of every batch norm by those of training images, in place.

    They are plain averages over batches of random images (Yu & Huang 2019, "Universally slimmable
    networks", section 3.2), augmented as in the training of the weights: without augmentation, training
    images fit the weights better than any other image will. Weights do not change.

    Args:
        model: any network; returned in its own mode.
        data: only its training split is used.
        augmentation: of the images; the first view of each is taken.
        resolution: side of the network's input, pixels.
        normalization: of the network.
        images: how many, or all where the split has fewer; they are drawn without replacement.
        seed: of the drawing.
    """
    norms = [part for part in model.modules() if isinstance(part, nn.BatchNorm2d)]
    momenta, mode = [norm.momentum for norm in norms], model.training
    device = next(model.parameters()).device
    chosen = np.random.default_rng(seed).permutation(data.splits["train"])[:images]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the mean over all batches
    model.train()
    with torch.inference_mode():
        for part in np.array_split(chosen, max(1, round(len(chosen) / _BATCH))):  # all classes in each
            pixels = seen(data, np.sort(part), 0, augmentation, resolution, device)
            model(prepare(pixels, resolution, normalization))
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    return model.train(mode)
