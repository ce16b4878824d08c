"""Processors and processes: how many this process may use, how it was launched, work in threads.

Reads the environment alone, so that asking costs nothing. ``torchrun``, and ``accelerate launch``, which
calls it, set RANK, LOCAL_RANK, WORLD_SIZE and LOCAL_WORLD_SIZE.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from core.errors import UserError

T = TypeVar("T")
_AHEAD = 8  # results in flight per thread: enough to hide a slow one, little enough memory


def cpu_count() -> int:
    """Return the number of processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def is_main() -> bool:
    """Return whether this process is the one that writes and prints."""
    # Without WORLD_SIZE no launcher set RANK, see process_count().
    return "WORLD_SIZE" not in os.environ or int(os.environ.get("RANK", 0)) == 0


def process_count() -> int:
    """Return the number of processes that were launched together, 1 without a launcher.

    Raises:
        UserError: ``accelerate launch --cpu`` should have started several and started one.
    """
    # It starts more than one only through MPI; the address is set where more were asked for.
    if "WORLD_SIZE" not in os.environ and {"ACCELERATE_USE_CPU", "MASTER_ADDR"} <= os.environ.keys():
        raise UserError(
            "accelerate launch --cpu started a single process (several need MPI there); give --multi_gpu "
            "instead of --cpu, which serves CPUs too where there is no GPU, or use torchrun"
        )
    return int(os.environ.get("WORLD_SIZE", 1))


def check_alone(command: str) -> None:
    """Refuse a command that does not train one network on several processes.

    Raises:
        UserError: several processes were launched.
    """
    if process_count() == 1:
        return
    if command == "search":
        raise UserError(
            "search trains each network in one process; start it without a launcher, and set workers to "
            "train several networks at a time"
        )
    raise UserError(f"{command} runs in one process; start it without a launcher")


def ordered_map(function: Callable[[int], T], count: int, *, threads: int | None = None) -> Iterator[T]:
    """Yield ``function(0) … function(count - 1)``, in order, computed in ``threads`` threads.

    Only a few results wait at any time.
    """
    threads = threads or cpu_count()
    waiting: deque[Future[T]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        try:
            for index in range(count):
                waiting.append(pool.submit(function, index))
                if len(waiting) >= _AHEAD * threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
