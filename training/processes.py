"""Several processes that train one network: each step's images are cut among them."""

from __future__ import annotations

import atexit
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from typing import Any, TypeVar, cast

import numpy as np
import torch
from torch import distributed, nn

from core.errors import UserError
from core.runtime import process_count

T = TypeVar("T")

# The others wait while the main process fine-tunes a teacher; the launcher ends those whose peer died.
_PATIENCE = timedelta(days=30)


@dataclass(frozen=True)
class Processes:
    """This process among those that train together.

    All of them must call the same methods in the same order. With one process nothing is exchanged.

    Attributes:
        rank: of this process, in ``0 .. count - 1``.
        count: of all.
    """

    rank: int = 0
    count: int = 1

    @property
    def main(self) -> bool:
        """True in the process that writes and prints."""
        return self.rank == 0

    def part(self, indices: np.ndarray) -> np.ndarray:
        """Return this process's share of ``(n,)`` indices; the shares differ by one at most."""
        return np.array_split(indices, self.count)[self.rank]

    def sum_(self, tensors: Sequence[torch.Tensor]) -> None:
        """Replace every tensor by its sum over the processes, in one exchange: the same bits in all.

        Args:
            tensors: of one dtype and device; of the same shapes in all processes.
        """
        if self.count == 1:
            return
        flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
        distributed.all_reduce(flat)
        for tensor, total in zip(tensors, flat.split([each.numel() for each in tensors]), strict=True):
            tensor.copy_(total.view(tensor.shape))

    def gather(self, rows: np.ndarray) -> np.ndarray:
        """Gather the rows ``(n_i, ...)`` of all processes, in order: the inverse of :meth:`part`."""
        if self.count == 1:
            return rows
        gathered: list[np.ndarray | None] = [None] * self.count
        distributed.all_gather_object(gathered, rows)
        return np.concatenate(cast(list[np.ndarray], gathered))

    def on_main(self, work: Callable[[], T]) -> T:
        """Call ``work`` in the main process alone, and return its result, which must be picklable.

        Raises:
            UserError: ``work`` raised it; in all processes.
        """
        if self.count == 1:
            return work()
        outcome: list[T | UserError | None] = [None]
        if self.main:
            try:
                outcome = [work()]
            except UserError as error:
                outcome = [error]
        distributed.broadcast_object_list(outcome)
        if isinstance(outcome[0], UserError):
            raise outcome[0]
        return cast(T, outcome[0])

    def main_first(self, work: Callable[[], T]) -> T:
        """Call ``work`` in every process, in the others once the main process has filled the caches.

        Raises:
            UserError: ``work`` raised it in the main process; in all processes.
        """
        results: list[T] = []
        self.on_main(lambda: results.append(work()))
        return results[0] if self.main else work()


#: A process that trains by itself.
ALONE = Processes()


@cache
def current() -> Processes:
    """Return the processes that were launched together; connects them at the first call.

    On machines with GPUs each process gets one, elsewhere they compute on the CPU.

    Raises:
        UserError: more processes than GPUs.
    """
    if process_count() == 1:
        return ALONE
    here, gpus = int(os.environ.get("LOCAL_WORLD_SIZE", 1)), torch.cuda.device_count()
    if 0 < gpus < here:
        raise UserError(
            f"{here} processes were launched and there are {gpus} GPUs: launch {gpus}, "
            "or set CUDA_VISIBLE_DEVICES= to train on the CPU"
        )
    from accelerate import PartialState

    state = PartialState(cpu=not gpus, timeout=_PATIENCE)
    atexit.register(state.destroy_process_group)
    return Processes(state.process_index, state.num_processes)


_DIMENSIONS = (0, 2, 3)  # of (B, C, h, w), all but the channels


class SyncedBatchNorm2d(nn.BatchNorm2d):
    """``nn.BatchNorm2d`` whose training statistics are those of all processes' images together.

    torch's ``SyncBatchNorm`` refuses tensors of the CPU (2.14, ``docs/log.md``).

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
    """Batch norm over all processes (Ioffe & Szegedy 2015, algorithm 1 and the gradients of section 3).

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
    """Return ``(C,)`` as ``(C, 1, 1)`` of the dtype of ``like``."""
    return values.to(like.dtype)[:, None, None]


@contextmanager
def synced(model: nn.Module, processes: Processes) -> Iterator[None]:
    """Let the batch norm of ``model`` use whole batches; its layers are plain again afterwards.

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
