"""Latency on the runtime that ships: ONNX Runtime on the CPU, batch 1, one thread.

What is timed is the clock of the measuring thread (the time it spent on a core), not the clock on
the wall. On an idle machine the two agree within 1 %. On a busy one they do not: with four other
processes computing on two cores, a network of 6.6 ms read 14.8 ms by the wall and 6.9 ms by the
thread's clock (medians of 100). A search measures while its workers train, and its numbers must not
depend on what they happen to be doing. Several threads share no such clock, so ``threads > 1`` is
timed by the wall.

Torch in the same process does not disturb this: ONNX Runtime runs a one-thread session in the
calling thread, and OpenMP's idle workers stop spinning within milliseconds, inside the warm-up.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from deploy.onnx_export import onnx_bytes
from training.onnx_graph import INPUT, open_session

WARM_UP_S = 0.05
WARM_UP_RUNS = 10
BUDGET_S = 1.5
MIN_RUNS = 20
MAX_RUNS = 100
ROUNDS = 5  # of several networks in turns


@dataclass(frozen=True)
class Latency:
    """Time of one image through a network.

    Attributes:
        median_ms: median over the runs, milliseconds.
        iqr_ms: distance between the quartiles, milliseconds.
        n: number of timed runs.
        runtime: library, version, provider and threads.
    """

    median_ms: float
    iqr_ms: float
    n: int
    runtime: str

    def to_dict(self) -> dict[str, float | int | str]:
        """As ``metrics.json`` holds it: ``median``, ``iqr`` (ms), ``n``, ``runtime``."""
        return {
            "median": self.median_ms,
            "iqr": self.iqr_ms,
            "n": self.n,
            "runtime": self.runtime,
        }


def runtime_name(threads: int = 1) -> str:
    """What a latency is measured on, e.g. ``onnxruntime 1.32.0 CPUExecutionProvider, 1 thread``."""
    import onnxruntime

    unit = "thread" if threads == 1 else "threads"
    return f"onnxruntime {onnxruntime.__version__} CPUExecutionProvider, {threads} {unit}"


def measure_onnx(model: str | Path | bytes, *, threads: int = 1, budget_s: float = BUDGET_S) -> Latency:
    """Time an ONNX file with one float32 image input.

    Args:
        model: the file, or its content.
        threads: threads inside one operator.
        budget_s: stop after this many seconds (once there are ``MIN_RUNS`` runs).
    """
    session = open_session(model, threads=threads)
    image = _image(session)
    clock = thread_clock() if threads == 1 else time.perf_counter
    times = time_runs(partial(session.run, None, {INPUT: image}), clock=clock, budget_s=budget_s)
    return _latency(times, threads)


def measure_module(
    model: nn.Module, resolution: int, *, input_channels: int = 3, threads: int = 1
) -> Latency:
    """Time a PyTorch network for ``(N, C, resolution, resolution)`` as it ships: exported."""
    content = onnx_bytes(model, resolution, input_channels=input_channels)
    return measure_onnx(content, threads=threads)


def measure_in_turns(networks: Sequence[tuple[nn.Module, int]]) -> list[Latency]:
    """Time several networks on one machine in the same minute, so that their ratios hold.

    Each is timed ``ROUNDS`` times, one after the other: what else the machine does, and how fast it runs,
    changes from minute to minute and then changes all of them alike.

    Args:
        networks: each with the side of its square RGB input, pixels.
    """
    sessions = [open_session(onnx_bytes(network, side)) for network, side in networks]
    images = [_image(session) for session in sessions]
    found: list[list[np.ndarray]] = [[] for _ in networks]
    for _ in range(ROUNDS):
        for times, session, image in zip(found, sessions, images, strict=True):
            run = partial(session.run, None, {INPUT: image})
            times.append(time_runs(run, clock=thread_clock(), budget_s=BUDGET_S / ROUNDS))
    return [_latency(np.concatenate(times)) for times in found]


def _image(session: Any) -> np.ndarray:
    _, *shape = session.get_inputs()[0].shape
    return np.random.default_rng(0).random((1, *shape), dtype=np.float32)


def _latency(times: np.ndarray, threads: int = 1) -> Latency:
    low, median, high = np.percentile(times * 1000.0, [25, 50, 75])
    return Latency(float(median), float(high - low), len(times), runtime_name(threads))


def time_runs(
    run: Callable[[], object],
    *,
    clock: Callable[[], float],
    budget_s: float = BUDGET_S,
) -> np.ndarray:
    """Seconds of each run by ``clock``, after a warm-up; ``MIN_RUNS`` to ``MAX_RUNS`` of them."""
    start, count = time.perf_counter(), 0
    while count < WARM_UP_RUNS or time.perf_counter() - start < WARM_UP_S:
        run()
        count += 1
    times: list[float] = []
    start = time.perf_counter()
    while len(times) < MIN_RUNS or (len(times) < MAX_RUNS and time.perf_counter() - start < budget_s):
        before = clock()
        run()
        times.append(clock() - before)
    return np.array(times)


def thread_clock() -> Callable[[], float]:
    """The time this thread has spent on a core; the wall's where that is too coarse (Windows)."""
    coarse = time.get_clock_info("thread_time").resolution > 1e-5
    return time.perf_counter if coarse else time.thread_time
