"""Latency of untrained networks: measured once per machine, or predicted where a limit is far away.

A network's latency does not depend on its weights, so a search measures it before training. One small
JSON file per (network, classes, runtime, threads, machine) serves all runs and processes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, Field
from scipy.optimize import nnls

from core.cache import cache_dir
from core.cached_records import read_cached, write_cached
from deploy.latency_measurement import Latency, measure_module
from deploy.reference_network import machine_name, reference_ms, runtime_name
from nas.architecture import Architecture
from nas.cost import cost
from nas.layers import Layer
from nas.networks import build
from nas.shapes import Shape, output_shape

MIN_MEASURED = 16  # networks before anything is predicted
_MAX_MEASURED = 256  # latest networks that a prediction rests on
_MIN_MARGIN = 1.05  # times the limit; timings vary by as much
_MAX_MS = 1e6  # of a latency that can be true


class _Timing(BaseModel):
    """The stored form of a :class:`Latency`."""

    median: Annotated[float, Field(gt=0, lt=_MAX_MS)]
    iqr: Annotated[float, Field(ge=0, lt=_MAX_MS)]
    n: Annotated[int, Field(ge=1)]
    runtime: str

    @property
    def latency(self) -> Latency:
        return Latency(self.median, self.iqr, self.n, self.runtime)


class _Record(BaseModel):
    """A cached latency, with what it is of."""

    architecture: str
    num_classes: int
    runtime: str
    machine: str
    reference_ms: float  # undisturbed, of the reference network that it was measured beside
    latency_ms: _Timing


def measure_architecture(
    architecture: Architecture,
    num_classes: int,
    *,
    cache: Path | None = None,
    threads: int = 1,
) -> Latency:
    """Return the latency of the untrained network, cached if this machine has measured it before.

    Args:
        architecture: the network.
        num_classes: width of its classifier.
        cache: directory of the results; default ``latency/`` under the user's cache directory.
        threads: threads inside one operator.

    Raises:
        UserError: the cache directory cannot be written.
    """
    directory = cache_dir() / "latency" if cache is None else cache
    subject = {
        "architecture": architecture.key,
        "num_classes": num_classes,
        "runtime": runtime_name(threads),
        "machine": machine_name(),
        "reference_ms": reference_ms(),
    }
    digest = hashlib.sha256(json.dumps(subject, sort_keys=True).encode()).hexdigest()[:16]
    path = directory / f"{architecture.key}-{digest}.json"
    stored = read_cached(_Record, path)
    if stored is not None and stored.model_dump(include=set(subject)) == subject:
        return stored.latency_ms.latency
    with torch.random.fork_rng(devices=[]):  # must not shift the weights training draws
        model = build(architecture, num_classes)
    latency = measure_module(
        model,
        architecture.resolution,
        input_channels=architecture.input_channels,
        threads=threads,
    )
    write_cached(path, {**subject, "latency_ms": latency.to_dict()})
    return latency


class LatencyProbe:
    """Latency of a proposal: measured, or predicted where it is clearly beyond the limit.

    A measurement takes a second, and under a tight limit a strategy rejects hundreds of networks before
    it proposes one. The first networks are measured. From then on a network is rejected unmeasured if its
    prediction exceeds the limit by more than the worst overestimate so far. A network within the limit
    has always been measured.

    Args:
        measure: latency of an architecture, ms.
        limit: the highest allowed latency, ms; ``None`` measures every network.
        num_classes: classes of the data.
    """

    def __init__(
        self, measure: Callable[[Architecture], float], limit: float | None, num_classes: int
    ) -> None:
        self._measure, self._limit, self._num_classes = measure, limit, num_classes
        self._features: list[NDArray[np.float64]] = []
        self._measured: list[float] = []
        self._rates = np.zeros(4)
        self._margin = np.inf  # largest ratio of prediction to measurement; none is trusted yet

    def __call__(self, architecture: Architecture) -> float:
        """Return the latency, ms."""
        if self._limit is None:
            return self._measure(architecture)
        features = latency_features(architecture, self._num_classes)
        predicted = float(features @ self._rates)
        if predicted > self._margin * self._limit:
            return predicted
        measured = self._measure(architecture)
        self._features = [*self._features, features][-_MAX_MEASURED:]
        self._measured = [*self._measured, measured][-_MAX_MEASURED:]
        if len(self._measured) >= MIN_MEASURED:
            inputs, times = np.array(self._features), np.array(self._measured)
            self._rates = fit_latency_model(inputs, times)
            self._margin = max(_MIN_MARGIN, float((inputs @ self._rates / times).max()))
        return measured


def fitted_latency(
    architectures: Sequence[Architecture],
    num_classes: int,
    report: Callable[[int, int], None] | None = None,
) -> Callable[[Architecture], float]:
    """Return a prediction of latencies in ms, fitted to those of ``architectures``, which it measures.

    Args:
        architectures: to measure.
        num_classes: classes of the data.
        report: called with (networks measured, networks in all).
    """
    features = np.array([latency_features(network, num_classes) for network in architectures])
    measured = []
    for network in architectures:
        measured.append(measure_architecture(network, num_classes).median_ms)
        if report is not None:
            report(len(measured), len(architectures))
    rates = fit_latency_model(features, np.array(measured))
    return lambda network: float(latency_features(network, num_classes) @ rates)


def latency_features(architecture: Architecture, num_classes: int) -> NDArray[np.float64]:
    """Return what a latency is predicted from, ``(4,)``.

    They are 1, the number of layers, the multiply-adds in millions, and the numbers that layers read and
    write in millions.
    """
    moved = sum(map(_memory_traffic, architecture.layers, architecture.shapes))
    macs = cost(architecture, num_classes).macs
    return np.array([1.0, len(architecture.layers), macs / 1e6, moved / 1e6])


def fit_latency_model(
    features: NDArray[np.float64], measured: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return milliseconds per unit of each feature, ``(4,)``, none negative.

    They minimise the squared relative errors.

    Args:
        features: ``(n, 4)``, see :func:`latency_features`.
        measured: ``(n,)`` milliseconds.
    """
    rates, _ = nnls(features / measured[:, None], np.ones(len(measured)))
    return np.asarray(rates, dtype=np.float64)


def _memory_traffic(layer: Layer, shape: Shape) -> int:
    """Return how many numbers a layer reads, writes, and keeps between expansion and projection."""
    channels, height, width = shape
    out = output_shape(layer, shape)
    hidden = getattr(layer, "hidden", None)
    inner = hidden(channels) if callable(hidden) else hidden or 0
    return (
        channels * height * width + out[0] * out[1] * out[2] + inner * (height * width + out[1] * out[2])
    )
