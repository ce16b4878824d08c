"""Processors and processes: how many this process may use, how it was launched, threads that share.

Reads the environment alone, so that asking costs nothing. ``torchrun``, and ``accelerate launch``, which
calls it, set RANK, LOCAL_RANK, WORLD_SIZE and LOCAL_WORLD_SIZE.
"""

from __future__ import annotations

import os
import sys
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from core.errors import UserError

T = TypeVar("T")
#: Rounds until a waiting thread of GNU's OpenMP sleeps (default 300,000); milliseconds of LLVM's (200).
SLEEPY = {"GOMP_SPINCOUNT": "1000", "KMP_BLOCKTIME": "0"}
_DECIDED = {*SLEEPY, "OMP_WAIT_POLICY", "OMP_NUM_THREADS"}
_WATCHED = 0.2  # seconds of measuring the load
_SLACK = 0.5  # busy cores that slow no thread down
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


def share_cores(note: Callable[[str], None]) -> None:
    """Make waiting OpenMP threads sleep instead of spin where other programs need the cores.

    A training step has hundreds of parallel regions, and each ends with its slowest thread. By default
    the other threads spin for milliseconds meanwhile. That is fastest where every thread has a core of
    its own; elsewhere a spinning thread may hold the core that the slowest one needs
    (``benchmarks/cores.py``). Results are the same.

    Call it before torch is imported, which reads the setting. A setting of the user's is kept.
    """
    if "torch" in sys.modules or _DECIDED & os.environ.keys():
        return
    import psutil

    cores, own = psutil.cpu_count() or 1, cpu_count()
    busy = psutil.cpu_percent(interval=_WATCHED) / 100 * cores
    fitting = fitting_threads(cores, own, busy)
    if fitting is not None:
        os.environ.update(SLEEPY)
        note(
            f"other programs keep {busy:.1f} of {cores} cores busy, so waiting threads sleep; "
            f"OMP_NUM_THREADS={fitting} may be faster"
        )


def fitting_threads(cores: int, own: int, busy: float) -> int | None:
    """Return the number of threads that find a core, None where all of this process do.

    Args:
        cores: number of cores of the machine.
        own: number of cores that this process may use.
        busy: cores that other programs keep busy, 0 to ``cores``.
    """
    if own == 1 or own + busy <= cores + _SLACK:
        return None
    return max(1, min(own, round(cores - busy)))
