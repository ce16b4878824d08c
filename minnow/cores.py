"""Training beside other programs."""

from __future__ import annotations

import os
import sys

from core.runtime import cpu_count
from minnow.console import say

#: After how many rounds a thread of GNU's OpenMP sleeps (else 300,000), or milliseconds of LLVM's (200).
SLEEPY = {"GOMP_SPINCOUNT": "1000", "KMP_BLOCKTIME": "0"}
_DECIDED = {*SLEEPY, "OMP_WAIT_POLICY", "OMP_NUM_THREADS"}
_MOMENT = 0.2  # seconds of watching
_SLACK = 0.5  # cores that may be busy without a thread missing them


def share_cores() -> None:
    """Where other programs need the cores, have OpenMP's waiting threads sleep instead of spin.

    A step of training is hundreds of parallel parts, and each ends with its last thread. Threads that
    wait for it spin for milliseconds, by default, which is fastest where every thread has its core;
    otherwise they may hold the very core that it needs (``benchmarks/cores.py``). Results are the same.

    To be called before torch is loaded, which reads the setting; whoever set it decided it.
    """
    if "torch" in sys.modules or _DECIDED & os.environ.keys():
        return
    import psutil

    cores, own = psutil.cpu_count() or 1, cpu_count()
    busy = psutil.cpu_percent(interval=_MOMENT) / 100 * cores
    if own > 1 and own + busy > cores + _SLACK:
        os.environ.update(SLEEPY)
        say(
            f"other programs keep {busy:.1f} of {cores} cores busy, so waiting threads sleep; "
            f"OMP_NUM_THREADS={max(1, min(own, round(cores - busy)))} may be faster"
        )
