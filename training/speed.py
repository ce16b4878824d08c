"""Seconds that a network takes per image, in training and in inference."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from statistics import median

import torch
from torch import nn

#: Time of an epoch over that of the steps that :func:`training_seconds` times.
OVERHEAD = 1.1

_BATCH_SIZE = 64
_WARM_UPS = 2  # the first calls allocate memory and choose kernels
_LEAST, _MOST = 3, 20  # timed calls
_ENOUGH_S = 3.0  # of timed calls, after which no more than the least are made


def training_seconds(model: nn.Module, resolution: int, device: torch.device) -> float:
    """Return the seconds per image of forward pass, backward pass and the update of the weights.

    A few batches of zeros are timed on a copy of the model.

    Args:
        model: ``(B, 3, resolution, resolution)`` to ``(B, C)``.
        resolution: side of its input, pixels.
        device: that runs it.
    """
    copied = _copied(model, device).requires_grad_(True).train()
    images = _images(resolution, device)
    optimizer = torch.optim.AdamW(copied.parameters(), lr=0.0)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        copied(images).sum().backward()
        optimizer.step()

    return _seconds(step, device) / _BATCH_SIZE


def inference_seconds(model: nn.Module, resolution: int, device: torch.device) -> float:
    """Return the seconds per image of a forward pass in eval mode; as :func:`training_seconds`."""
    copied, images = _copied(model, device).eval(), _images(resolution, device)

    def infer() -> None:
        with torch.no_grad():
            copied(images)

    return _seconds(infer, device) / _BATCH_SIZE


def _copied(model: nn.Module, device: torch.device) -> nn.Module:
    copied: nn.Module = copy.deepcopy(model).to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return copied


def _images(resolution: int, device: torch.device) -> torch.Tensor:
    images = torch.zeros(_BATCH_SIZE, 3, resolution, resolution, device=device)
    return images.to(memory_format=torch.channels_last)


def _seconds(action: Callable[[], None], device: torch.device) -> float:
    """Return the median time of a call, seconds."""

    def timed() -> float:
        started = time.perf_counter()
        action()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return time.perf_counter() - started

    for _ in range(_WARM_UPS):
        timed()
    times: list[float] = []
    while len(times) < _LEAST or (len(times) < _MOST and sum(times) < _ENOUGH_S):
        times.append(timed())
    return median(times)
