"""The processes that train one network together: each step's images are cut among them."""

from __future__ import annotations

import atexit
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from typing import TypeVar, cast

import numpy as np
import torch
from torch import distributed

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
        """Whether this is the process that writes and prints."""
        return self.rank == 0

    def part(self, indices: np.ndarray) -> np.ndarray:
        """This process's share of ``(n,)`` indices; the shares differ by one at most."""
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
        """The rows ``(n_i, ...)`` of all processes, in their order: the inverse of :meth:`part`."""
        if self.count == 1:
            return rows
        found: list[np.ndarray | None] = [None] * self.count
        distributed.all_gather_object(found, rows)
        return np.concatenate(cast(list[np.ndarray], found))

    def on_main(self, work: Callable[[], T]) -> T:
        """What ``work`` returns in the main process, the only one to call it; must be picklable.

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
        """What ``work`` returns here; the others start when the main process has filled the caches.

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
    """The processes that were launched together; connects them at the first call.

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
