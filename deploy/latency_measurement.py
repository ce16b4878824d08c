"""Latency on the runtime that ships: ONNX Runtime on the CPU, batch 1, one thread.

The clock is that of the measuring thread (its time on a core), not the wall clock. On an idle machine the
two agree within 1 %. On a busy one they differ: with four other processes computing on two cores, a
network of 6.6 ms took 14.8 ms by the wall clock and 6.9 ms by the thread's clock (medians of 100). A
search measures while its workers train, and its numbers must not depend on their load. Several threads
share no such clock, so ``threads > 1`` uses the wall clock.

A core also runs slower at times. So every five runs of a network come between runs of the reference
network, and its times are divided by the slowdown of the reference (:mod:`deploy.reference_network`).

Torch in the same process does not disturb the measurement: ONNX Runtime runs a one-thread session in the
calling thread, and OpenMP's idle workers stop spinning within milliseconds, during the warm-up.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from deploy.machine import runtime_name
from deploy.onnx_export import onnx_bytes
from deploy.reference_network import reference_ms, reference_run
from deploy.timing import BUDGET_S, MAX_RUNS, thread_clock, time_runs, timed_block, unfinished, warm_up
from training.onnx_graph import INPUT, open_session

ROUNDS = 2  # runs of each of several networks, times those of one alone


@dataclass(frozen=True)
class Latency:
    """The time of one image through a network.

    Attributes:
        median_ms: median over the runs, milliseconds.
        iqr_ms: distance between the quartiles, milliseconds.
        n: number of timed runs.
        runtime: library, version, provider and threads.
        slowdown: of the machine during the runs, whose times are corrected by it; 1: none, or not known.
    """

    median_ms: float
    iqr_ms: float
    n: int
    runtime: str
    slowdown: float = field(default=1.0, compare=False, repr=False)

    def to_dict(self) -> dict[str, float | int | str]:
        """Return ``latency_ms`` of ``metrics.json``: ``median``, ``iqr`` (ms), ``n``, ``runtime``."""
        return {
            "median": self.median_ms,
            "iqr": self.iqr_ms,
            "n": self.n,
            "runtime": self.runtime,
        }


def measure_onnx(model: str | Path | bytes, *, threads: int = 1, budget_s: float = BUDGET_S) -> Latency:
    """Measure the latency of an ONNX file with one float32 image input.

    Args:
        model: the file, or its content.
        threads: threads inside one operator.
        budget_s: seconds after which it stops, once there are ``MIN_RUNS`` runs.
    """
    session = open_session(model, threads=threads)
    run = classify_one(session)
    if threads > 1:
        return _latency(time_runs(run, clock=time.perf_counter, budget_s=budget_s), threads)
    (times,), slowdown = undisturbed_times([run], most=MAX_RUNS, budget_s=budget_s)
    return _latency(times, slowdown=slowdown)


def measure_module(
    model: nn.Module, resolution: int, *, input_channels: int = 3, threads: int = 1
) -> Latency:
    """Measure the latency of a PyTorch network, exported to ONNX, for square images."""
    content = onnx_bytes(model, resolution, input_channels=input_channels)
    return measure_onnx(content, threads=threads)


def measure_in_turns(networks: Sequence[tuple[nn.Module, int]]) -> list[Latency]:
    """Measure the latency of several networks in turns, so that their ratios hold.

    Args:
        networks: each with the side of its square RGB input, pixels.
    """
    runs = [classify_one(open_session(onnx_bytes(network, side))) for network, side in networks]
    times, slowdown = undisturbed_times(runs, most=ROUNDS * MAX_RUNS, budget_s=len(runs) * BUDGET_S)
    return [_latency(each, slowdown=slowdown) for each in times]


def undisturbed_times(
    runs: Sequence[Callable[[], object]], *, most: int, budget_s: float
) -> tuple[list[np.ndarray], float]:
    """Return the seconds of each function's runs, divided by the slowdown of the machine at the moment.

    The median of the slowdowns is returned too; it is below 1 on a machine that was slower when the
    reference was first timed.

    Blocks of the functions take turns, with blocks of the reference between them.

    Args:
        runs: functions, which compute in the calling thread.
        most: runs of each, at most.
        budget_s: seconds after which it stops, once each has ``MIN_RUNS`` runs.

    Raises:
        UserError: the cache directory cannot be written.
    """
    if not runs:
        return [], 1.0
    reference, usual, clock = reference_run(), reference_ms() / 1e3, thread_clock()
    for run in (*runs, reference):
        warm_up(run)
    times: list[list[float]] = [[] for _ in runs]
    slowdowns = []
    start, before = time.perf_counter(), float(np.median(timed_block(reference, clock)))
    while unfinished(len(times[0]), most, start, budget_s):
        for run, own in zip(runs, times, strict=True):
            block = timed_block(run, clock)
            after = float(np.median(timed_block(reference, clock)))
            slowdowns.append((before + after) / (2 * usual))
            own.extend(seconds / slowdowns[-1] for seconds in block)
            before = after
    return [np.array(own) for own in times], float(np.median(slowdowns))


def classify_one(session: Any) -> Callable[[], object]:
    """Return a call that classifies a random image."""
    _, *shape = session.get_inputs()[0].shape
    image = np.random.default_rng(0).random((1, *shape), dtype=np.float32)
    return partial(session.run, None, {INPUT: image})


def _latency(times: np.ndarray, threads: int = 1, slowdown: float = 1.0) -> Latency:
    low, median, high = np.percentile(times * 1000.0, [25, 50, 75])
    return Latency(float(median), float(high - low), len(times), runtime_name(threads), slowdown)
