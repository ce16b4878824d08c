"""Latency of untrained networks, guessed instead of measured where a limit is far away.

A measurement takes a second, and under a tight limit a strategy turns down hundreds of networks before
it finds one to propose. So the first ones are measured, and from then on a network whose guess is
beyond the limit by more than guesses were ever too long is turned down unmeasured. What is proposed has
always been measured.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

from nas.architecture import Architecture
from nas.cost import cost
from nas.layers import Layer
from nas.shapes import Shape, output_shape

LEAST = 16  # measured networks before anything is guessed
_MOST = 256  # that a guess rests on, the latest
_TRUSTED = 1.05  # times the limit, at least; timings vary by as much

Floats = NDArray[np.float64]


class GuessingProbe:
    """Measures a network, or says what it would take where that is clearly too long.

    Args:
        measure: latency of an architecture, ms.
        limit: largest that is allowed, ms; ``None`` measures everything.
        num_classes: of the data.
    """

    def __init__(
        self, measure: Callable[[Architecture], float], limit: float | None, num_classes: int
    ) -> None:
        self._measure, self._limit, self._num_classes = measure, limit, num_classes
        self._features: list[Floats] = []
        self._measured: list[float] = []
        self._rates = np.zeros(4)
        self._margin = np.inf  # how many times too long a guess was at worst; no guess is trusted yet

    def __call__(self, architecture: Architecture) -> float:
        """Milliseconds; a guess only where even the worst one so far would mean more than the limit."""
        if self._limit is None:
            return self._measure(architecture)
        features = features_of(architecture, self._num_classes)
        guess = float(features @ self._rates)
        if guess > self._margin * self._limit:
            return guess
        measured = self._measure(architecture)
        self._features = [*self._features, features][-_MOST:]
        self._measured = [*self._measured, measured][-_MOST:]
        if len(self._measured) >= LEAST:
            known, times = np.array(self._features), np.array(self._measured)
            self._rates = fitted(known, times)
            self._margin = max(_TRUSTED, float((known @ self._rates / times).max()))
        return measured


def features_of(architecture: Architecture, num_classes: int) -> Floats:
    """What a network's time goes into, ``(4,)``: one for itself, its layers, millions of multiply-adds,
    and millions of numbers that its layers read and write."""
    moved = sum(map(_moved, architecture.layers, architecture.shapes))
    macs = cost(architecture, num_classes).macs
    return np.array([1.0, len(architecture.layers), macs / 1e6, moved / 1e6])


def fitted(features: Floats, measured: Floats) -> Floats:
    """Time of one of each feature, ``(4,)`` milliseconds, none negative, by least squares of relative
    errors.

    Args:
        features: ``(n, 4)``, see :func:`features_of`.
        measured: ``(n,)`` milliseconds.
    """
    weights, _ = nnls(features / measured[:, None], np.ones(len(measured)))
    return np.asarray(weights, dtype=np.float64)


def _moved(layer: Layer, shape: Shape) -> int:
    """Numbers that a layer takes, gives, and keeps between its expansion and its projection."""
    channels, height, width = shape
    out = output_shape(layer, shape)
    hidden = getattr(layer, "hidden", None)
    inner = hidden(channels) if callable(hidden) else hidden or 0
    return (
        channels * height * width + out[0] * out[1] * out[2] + inner * (height * width + out[1] * out[2])
    )
