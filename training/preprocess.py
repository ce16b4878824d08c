"""From stored bytes to network input: resize, scale to 0..1, normalise.

One function serves training, evaluation, the teacher and prediction, so all of them see the same pixels.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.nn import functional as F


@dataclass(frozen=True)
class Normalization:
    """Per-channel statistics in units of 0..1 pixel values; input becomes ``(x - mean) / std``."""

    mean: tuple[float, float, float]
    std: tuple[float, float, float]


IMAGENET = Normalization(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))


def resize(images: torch.Tensor, resolution: int) -> torch.Tensor:
    """Resize ``(B, 3, S, S)`` images, uint8 or float, to ``(B, 3, r, r)``: bilinear, antialiased."""
    if images.shape[-1] == resolution and images.shape[-2] == resolution:
        return images
    if images.is_floating_point() or images.device.type == "cpu":
        return _interpolated(images, resolution)
    # CUDA resizes no bytes; its floats round to what a CPU has, a level more or less.
    return _interpolated(images.float(), resolution).round_().clamp_(0, 255).to(torch.uint8)


def _interpolated(images: torch.Tensor, resolution: int) -> torch.Tensor:
    size = (resolution, resolution)
    return F.interpolate(images, size=size, mode="bilinear", antialias=True, align_corners=False)


def prepare(images: torch.Tensor, resolution: int, normalization: Normalization) -> torch.Tensor:
    """Turn stored images into network input.

    Args:
        images: ``(B, 3, S, S)`` uint8, RGB.
        resolution: side of the result in pixels.
        normalization: statistics of the network that will see the result.

    Returns:
        ``(B, 3, resolution, resolution)`` float32, ``channels_last``, on the device of ``images``.
    """
    images = resize(images, resolution).contiguous(memory_format=torch.channels_last)
    mean = torch.tensor(normalization.mean, device=images.device).view(1, 3, 1, 1) * 255.0
    std = torch.tensor(normalization.std, device=images.device).view(1, 3, 1, 1) * 255.0
    return images.to(torch.float32).sub_(mean).div_(std)
