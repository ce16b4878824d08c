"""Batch normalisation over the images of all processes; torch's SyncBatchNorm runs on GPUs only."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import distributed, nn

from training.processes import Processes


class SyncedBatchNorm2d(nn.BatchNorm2d):
    """``nn.BatchNorm2d`` whose training statistics are those of all processes' images together.

    They may hold different numbers of images. The gradient is that of the sum of the processes' losses.
    """

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """Normalise ``(B, C, h, w)``.

        Raises:
            ValueError: the layer keeps no running statistics, or averages them over all steps.
        """
        if not self.training:
            return super().forward(input)
        if self.running_mean is None or self.running_var is None or self.momentum is None:
            raise ValueError("SyncedBatchNorm2d needs running statistics with a momentum")
        count = input.new_tensor([input.numel() / input.shape[1]])
        total = _Sum.apply(torch.cat([input.sum((0, 2, 3)), count]))
        size = total[-1].detach()
        mean = total[:-1] / size
        centred = input - mean[:, None, None]
        # A second exchange, as the mean of the squares less the square of the mean would lose digits.
        variance = _Sum.apply(centred.square().sum((0, 2, 3))) / size
        with torch.no_grad():
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * size / (size - 1), self.momentum)
            if self.num_batches_tracked is not None:
                self.num_batches_tracked.add_(1)
        scale = (variance + self.eps).rsqrt()
        if self.affine:
            return centred * (scale * self.weight)[:, None, None] + self.bias[:, None, None]
        return centred * scale[:, None, None]


class _Sum(torch.autograd.Function):
    """The sum over the processes; so is its gradient, as every process's loss depends on the sum."""

    @staticmethod
    def forward(ctx: Any, part: torch.Tensor) -> torch.Tensor:
        total = part.clone()
        distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
        total = gradient.contiguous().clone()
        distributed.all_reduce(total)
        return total


@contextmanager
def synced(model: nn.Module, processes: Processes) -> Iterator[None]:
    """Let the batch norm of ``model`` see whole batches; its layers are plain again afterwards.

    Weights, statistics and their names are those of the plain layers.
    """
    layers = [layer for layer in model.modules() if type(layer) is nn.BatchNorm2d]
    if processes.count == 1:
        layers = []
    for layer in layers:
        layer.__class__ = SyncedBatchNorm2d
    try:
        yield
    finally:
        for layer in layers:
            layer.__class__ = nn.BatchNorm2d
