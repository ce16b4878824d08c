"""Latency on the runtime that ships: ONNX Runtime on the CPU, batch 1, one thread.

The clock is that of the measuring thread (its time on a core), not the wall clock. On an idle machine the
two agree within 1 %. On a busy one they differ: with four other processes computing on two cores, a
network of 6.6 ms took 14.8 ms by the wall clock and 6.9 ms by the thread's clock (medians of 100). A
search measures while its workers train, and its numbers must not depend on their load. Several threads
share no such clock, so ``threads > 1`` uses the wall clock.

Torch in the same process does not disturb the measurement: ONNX Runtime runs a one-thread session in the
calling thread, and OpenMP's idle workers stop spinning within milliseconds, during the warm-up.
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
from training.onnx_graph import INPUT, onnx_runtime, open_session

WARM_UP_S = 0.05
WARM_UP_RUNS = 10
BUDGET_S = 1.5
MIN_RUNS = 20
MAX_RUNS = 100
ROUNDS = 5  # per network, of several networks in turns


@dataclass(frozen=True)
class Latency:
    """The time of one image through a network.

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
        """Return ``latency_ms`` of ``metrics.json``: ``median``, ``iqr`` (ms), ``n``, ``runtime``."""
        return {
            "median": self.median_ms,
            "iqr": self.iqr_ms,
            "n": self.n,
            "runtime": self.runtime,
        }


def runtime_name(threads: int = 1) -> str:
    """Return the runtime of a latency, e.g. ``onnxruntime 1.32.0 CPUExecutionProvider, 1 thread``."""
    version = onnx_runtime().__version__
    unit = "thread" if threads == 1 else "threads"
    return f"onnxruntime {version} CPUExecutionProvider, {threads} {unit}"


def measure_onnx(model: str | Path | bytes, *, threads: int = 1, budget_s: float = BUDGET_S) -> Latency:
    """Measure the latency of an ONNX file with one float32 image input.

    Args:
        model: the file, or its content.
        threads: threads inside one operator.
        budget_s: seconds after which it stops, once there are ``MIN_RUNS`` runs.
    """
    session = open_session(model, threads=threads)
    image = _image(session)
    clock = thread_clock() if threads == 1 else time.perf_counter
    times = time_runs(partial(session.run, None, {INPUT: image}), clock=clock, budget_s=budget_s)
    return _latency(times, threads)


def measure_module(
    model: nn.Module, resolution: int, *, input_channels: int = 3, threads: int = 1
) -> Latency:
    """Measure the latency of a PyTorch network, exported to ONNX, for square images."""
    content = onnx_bytes(model, resolution, input_channels=input_channels)
    return measure_onnx(content, threads=threads)


def measure_in_turns(networks: Sequence[tuple[nn.Module, int]]) -> list[Latency]:
    """Measure the latency of several networks in turns, so that their ratios hold.

    Each is measured ``ROUNDS`` times, one after the other. The load and the speed of a machine change
    from minute to minute; in turns, they change all networks alike.

    Args:
        networks: each with the side of its square RGB input, pixels.
    """
    sessions = [open_session(onnx_bytes(network, side)) for network, side in networks]
    images = [_image(session) for session in sessions]
    seconds: list[list[np.ndarray]] = [[] for _ in networks]
    for _ in range(ROUNDS):
        for times, session, image in zip(seconds, sessions, images, strict=True):
            run = partial(session.run, None, {INPUT: image})
            times.append(time_runs(run, clock=thread_clock(), budget_s=BUDGET_S / ROUNDS))
    return [_latency(np.concatenate(times)) for times in seconds]


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
    """Return the seconds of ``MIN_RUNS`` to ``MAX_RUNS`` runs by ``clock``, after a warm-up."""
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
    """Return the clock of this thread's time on a core; the wall clock if that is coarse (Windows)."""
    coarse = time.get_clock_info("thread_time").resolution > 1e-5
    return time.perf_counter if coarse else time.thread_time
