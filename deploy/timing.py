"""Timed runs of a function: the clock, the warm-up, and how many."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

WARM_UP_S = 0.05
WARM_UP_RUNS = 10
BUDGET_S = 1.5
MIN_RUNS = 20
MAX_RUNS = 100
_BLOCK = 5  # runs in a row, of functions in turns


def warm_up(run: Callable[[], object]) -> None:
    """Run a few times."""
    start, count = time.perf_counter(), 0
    while count < WARM_UP_RUNS or time.perf_counter() - start < WARM_UP_S:
        run()
        count += 1


def time_runs(
    run: Callable[[], object], *, clock: Callable[[], float], budget_s: float = BUDGET_S
) -> np.ndarray:
    """Return the seconds of ``MIN_RUNS`` to ``MAX_RUNS`` runs by ``clock``, after a warm-up."""
    warm_up(run)
    times: list[float] = []
    start = time.perf_counter()
    while unfinished(len(times), MAX_RUNS, start, budget_s):
        times.append(_seconds(run, clock))
    return np.array(times)


def unfinished(count: int, most: int, start: float, budget_s: float) -> bool:
    """Return whether more runs are needed: ``MIN_RUNS``, then up to ``most`` within a budget of time."""
    return count < MIN_RUNS or (count < most and time.perf_counter() - start < budget_s)


def timed_block(run: Callable[[], object], clock: Callable[[], float]) -> list[float]:
    """Return the seconds of five runs in a row by ``clock``, after one that fills the caches."""
    run()
    return [_seconds(run, clock) for _ in range(_BLOCK)]


def _seconds(run: Callable[[], object], clock: Callable[[], float]) -> float:
    before = clock()
    run()
    return clock() - before


def thread_clock() -> Callable[[], float]:
    """Return the clock of this thread's time on a core; the wall clock if that is coarse (Windows)."""
    coarse = time.get_clock_info("thread_time").resolution > 1e-5
    return time.perf_counter if coarse else time.thread_time
