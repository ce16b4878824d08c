"""Latency of proposals under a limit: measured, or predicted where it is clearly beyond the limit."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable

import numpy as np

from deploy.profile import Predictor, fit
from nas.architecture import Architecture

FIRST = 8  # measured networks of the first predictor, and predictions that are checked before one counts
_GROWTH = 1.3  # networks of the next predictor, times those of the last
_MOST = 128  # latest networks that a predictor rests on
_CHECKED = 64  # latest predictions that the margin rests on
_QUANTILE = 0.95
_LEAST_MARGIN = 1.03  # repeated measurements differ by as much


class LatencyProbe:
    """Latency of a proposal: measured, or predicted where it is clearly beyond the limit.

    Under a tight limit a strategy rejects many networks before it proposes one; measuring one takes up
    to a second. A predictor learns from every network that was measured. Each is predicted first, and so
    the predictions show how far they are off: a network is rejected unmeasured if its prediction exceeds
    the limit by more than 95 % of them exceeded the measurement. An accepted network was always measured,
    once. One that cannot be measured has an infinite latency, and teaches nothing.

    Args:
        measure: latency of an architecture, ms.
        limit: the highest allowed latency, ms; ``None`` measures every network.
        num_classes: classes of the data.
    """

    def __init__(
        self, measure: Callable[[Architecture], float], limit: float | None, num_classes: int
    ) -> None:
        self._measure, self._limit, self._num_classes = measure, limit, num_classes
        self._known: dict[str, float] = {}  # measured latencies by the network's key
        self._measured: deque[tuple[Architecture, float]] = deque(maxlen=_MOST)
        self._count, self._next = 0, FIRST
        self._ratios: deque[float] = deque(maxlen=_CHECKED)  # of predictions to measurements
        self._predictor: Predictor | None = None

    def __call__(self, architecture: Architecture) -> float:
        """Return the latency, ms."""
        if self._limit is None:
            return self._measure(architecture)
        if (known := self._known.get(architecture.key)) is not None:
            return known
        predicted = None
        if self._predictor is not None:
            predicted = float(self._predictor.predict([architecture])[0])
            if predicted > self._margin() * self._limit:
                return predicted
        measured = self._known[architecture.key] = self._measure(architecture)
        if not math.isfinite(measured):
            return measured
        if predicted is not None:
            self._ratios.append(predicted / measured)
        self._learn(architecture, measured)
        return measured

    def _margin(self) -> float:
        """Return how many times the limit a prediction must be, to count."""
        if len(self._ratios) < FIRST:
            return np.inf
        return max(_LEAST_MARGIN, float(np.quantile(self._ratios, _QUANTILE)))

    def _learn(self, architecture: Architecture, measured: float) -> None:
        self._measured.append((architecture, measured))
        self._count += 1
        if self._count >= self._next:
            networks, times = zip(*self._measured, strict=True)
            self._predictor = fit(networks, times, self._num_classes)
            self._next = max(self._count + 1, round(_GROWTH * self._count))
