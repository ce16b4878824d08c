"""OpenMP threads beside other busy programs."""

from __future__ import annotations

import os
import sys

from core.runtime import cpu_count
from minnow.listener import Listener

#: Rounds until a waiting thread of GNU's OpenMP sleeps (default 300,000); milliseconds of LLVM's (200).
SLEEPY = {"GOMP_SPINCOUNT": "1000", "KMP_BLOCKTIME": "0"}
_DECIDED = {*SLEEPY, "OMP_WAIT_POLICY", "OMP_NUM_THREADS"}
_WATCHED = 0.2  # seconds of measuring the load
_SLACK = 0.5  # busy cores that slow no thread down


def share_cores(listener: Listener) -> None:
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
        listener.note(
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
