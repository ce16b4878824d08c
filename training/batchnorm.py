"""Batch normalisation over the images of all processes; torch's SyncBatchNorm runs on GPUs only."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import distributed, nn

from training.processes import Processes

_DIMENSIONS = (0, 2, 3)  # of (B, C, h, w), all but the channels


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
        output, mean, variance, size = _Normalised.apply(input, self.weight, self.bias, self.eps)
        with torch.no_grad():
            self.running_mean.lerp_(mean.to(self.running_mean), self.momentum)
            unbiased = variance * size / (size - 1)
            self.running_var.lerp_(unbiased.to(self.running_var), self.momentum)
            if self.num_batches_tracked is not None:
                self.num_batches_tracked.add_(1)
        return output  # type: ignore[no-any-return]


class _Normalised(torch.autograd.Function):
    """Ioffe & Szegedy 2015, algorithm 1 and the gradients of section 3, with sums over all processes.

    Sums are taken in float64, as torch does on the CPU: the gradients nearly cancel in them.
    """

    @staticmethod
    def forward(
        ctx: Any,
        input: torch.Tensor,
        weight: torch.Tensor | None,
        bias: torch.Tensor | None,
        eps: float,
    ) -> tuple[torch.Tensor, ...]:
        var, mean = (each.double() for each in torch.var_mean(input, _DIMENSIONS, correction=0))
        count = mean.new_tensor([input.numel() / input.shape[1]])
        totals = torch.cat([count * mean, count * (var + mean.square()), count])
        distributed.all_reduce(totals)
        size = totals[-1]
        mean, square = totals[:-1].view(2, -1) / size
        var = square - mean.square()
        scale = (var + eps).rsqrt()
        normal = (input - _channels(mean, input)) * _channels(scale, input)
        ctx.save_for_backward(normal, weight, scale, size)
        ctx.mark_non_differentiable(mean, var, size)
        output = normal if weight is None else normal * _channels(weight, input)
        return output if bias is None else output + _channels(bias, input), mean, var, size

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        gradient = gradients[0]
        normal, weight, scale, size = ctx.saved_tensors
        plain = gradient.sum(_DIMENSIONS, dtype=torch.float64)
        along = (gradient * normal).sum(_DIMENSIONS, dtype=torch.float64)
        totals = torch.stack([plain, along])
        distributed.all_reduce(totals)
        means = [_channels(each, normal) for each in totals / size]
        factor = _channels(scale if weight is None else scale * weight, normal)
        to_input = factor * (gradient - means[0] - normal * means[1])
        if weight is None:
            return to_input, None, None, None
        return to_input, along.to(weight), plain.to(weight), None


def _channels(values: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """``(C,)`` as ``(C, 1, 1)`` of the dtype of ``like``."""
    return values.to(like.dtype)[:, None, None]


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
