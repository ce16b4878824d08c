"""Seconds that a network takes per image, in training and in inference."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

import torch
from torch import nn

#: Time of an epoch over that of the steps that :func:`measure_speed` times.
OVERHEAD = 1.1

_BATCH_SIZE = 64
_REPEATS = 3  # after one that warms up


@dataclass(frozen=True)
class Speed:
    """Seconds per image.

    Attributes:
        training: of forward pass, backward pass and the update of the weights.
        inference: of a forward pass in eval mode.
    """

    training: float
    inference: float


def measure_speed(model: nn.Module, resolution: int, device: torch.device) -> Speed:
    """Time a few batches of noise on a copy of the model; takes the time of about five steps.

    Args:
        model: ``(B, 3, resolution, resolution)`` to ``(B, C)``.
        resolution: side of its input, pixels.
        device: that runs it.
    """
    copied = copy.deepcopy(model).to(device).to(memory_format=torch.channels_last)
    copied.requires_grad_(True)
    images = torch.zeros(_BATCH_SIZE, 3, resolution, resolution, device=device)
    images = images.to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(copied.parameters(), lr=0.0)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        copied.train()(images).sum().backward()
        optimizer.step()

    def infer() -> None:
        with torch.no_grad():
            copied(images)

    training = _seconds(step, device)
    copied.eval()
    return Speed(training / _BATCH_SIZE, _seconds(infer, device) / _BATCH_SIZE)


def _seconds(action: Callable[[], None], device: torch.device) -> float:
    """Return the median time of a call, seconds."""
    times = []
    for _ in range(1 + _REPEATS):
        started = time.perf_counter()
        action()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        times.append(time.perf_counter() - started)
    return median(times[1:])
