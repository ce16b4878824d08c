"""Latency on one device, predicted from a few measured networks.

The time of a network is a sum over its operations (:mod:`nas.operations`), so what one network teaches
about an operation holds for all others::

    t(A) = c + sum_o m(o) (1 + g(o)),    g ~ GP(0, k),    relative noise

``m(o)`` is the usual time of an operation: the mean of two fits by non-negative least squares of relative
errors, one with rates for all kinds of operations together and one with rates for each kind. ``g(o)``
corrects it. It is a Gaussian process whose kernel has a part that all operations share, one that those of
a kind share, and one that decreases with the distance between their shapes, in octaves. Divided by
``c + sum_o m(o)``, a network is a weighted mean of ``1 + g(o)``, so the process over networks is Gaussian
too. Its few hyperparameters maximise the marginal likelihood times a weak prior (Rasmussen & Williams
2006, section 5.4.1).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import cho_factor, cho_solve
from scipy.optimize import minimize, nnls

from nas.architecture import Architecture
from nas.operations import CONVOLUTION, Operation

Array = NDArray[np.float64]

LEAST = 3  # networks to fit to
_LEAST_PART = 0.1  # of the usual time, however small the correction makes it
_FUSED = (None, "ReLU", "ReLU6")  # activations that cost nothing beside their convolution
_ALIGNED = 16  # channels that vector instructions take at once
_UNALIGNED = 2.0  # distance of other numbers of channels, octaves
_LENGTHS = (0.7, 1.5, 3.0, 6.0)  # of the kernel over shapes, octaves

# Standard deviations: shared correction, that of a kind, that of a shape, noise; and of their logarithms.
_USUAL = np.log([0.1, 0.5, 0.5, 0.03])
_SPREAD = 1.0
_BOUNDS = [(-6.0, 0.0), (-6.0, 2.0), (-6.0, 2.0), (-5.0, 0.0)]


@dataclass(frozen=True)
class _Unit:
    """Operations that are treated alike: of one kind, and of about one shape.

    Attributes:
        kind: of the operations.
        shape: octaves of kernel, input and output channels, input and output positions; and
            whether the channels are aligned.
    """

    kind: str
    shape: tuple[float, ...]


class Predictor:
    """Latencies of networks on one device; made by :func:`fit`.

    Args:
        networks: measured ones.
        milliseconds: ``(n,)`` of each.
        num_classes: width of their classifiers.
    """

    def __init__(self, networks: Sequence[Architecture], milliseconds: Array, num_classes: int) -> None:
        self._num_classes = num_classes
        tables = [_table(network, num_classes) for network in networks]
        totals = np.array([sum(table.values()) for table in tables])
        self._kinds = sorted({unit.kind for table in tables for unit in table})
        together = np.column_stack([np.ones(len(tables)), totals])
        by_kind = np.array([self._by_kind(table) for table in tables])
        first, second = (_fitted_rates(inputs, milliseconds) for inputs in (together, by_kind))
        self._constant = (first[0] + second[0]) / 2
        self._together, self._by_kind_rates = first[1:], second[1:]
        self._rates_of: dict[str, Array] = {}
        self._units = sorted({unit for table in tables for unit in table}, key=str)
        shares, usual = self._shares(tables)
        self._fit(shares, milliseconds / usual - 1)
        self._corrections: dict[_Unit, float] = {}

    def predict(self, architectures: Sequence[Architecture], num_classes: int | None = None) -> Array:
        """Return the latency of each network, ``(n,)`` milliseconds.

        Args:
            architectures: the networks.
            num_classes: width of their classifiers; ``None``: that of the measured networks.
        """
        classes = self._num_classes if num_classes is None else num_classes
        times = np.empty(len(architectures))
        for index, network in enumerate(architectures):
            usual, corrected = self._constant, 0.0
            for unit, features in _table(network, classes).items():
                took = float(features @ self._rates(unit.kind))
                usual += took
                corrected += took * self._correction(unit)
            times[index] = max(usual * (1 + self._shared) + corrected, _LEAST_PART * usual)
        return times

    def _rates(self, kind: str) -> Array:
        """Return the usual milliseconds of an operation, and per million of its numbers, ``(4,)``."""
        if kind not in self._rates_of:
            count, weights, *rest = self._by_kind_rates
            at = 2 * self._kinds.index(kind) if kind in self._kinds else None
            macs, traffic = (0.0, 0.0) if at is None else rest[at : at + 2]
            self._rates_of[kind] = (self._together + np.array([count, macs, traffic, weights])) / 2
        return self._rates_of[kind]

    def _correction(self, unit: _Unit) -> float:
        """Return ``g`` of an operation, without the part that all share."""
        if unit not in self._corrections:
            alike, near = _kernels([unit], self._units, self._length)
            variances = np.exp(2 * self._deviations)
            covariance = variances[1] * alike[0] + variances[2] * near[0]
            self._corrections[unit] = float(covariance @ self._solved)
        return self._corrections[unit]

    def _by_kind(self, table: dict[_Unit, Array]) -> Array:
        """Return 1, the number of operations, their weights; then multiply-adds and traffic by kind."""
        features = np.zeros(3 + 2 * len(self._kinds))
        features[0] = 1
        for unit, (count, macs, traffic, weights) in table.items():
            features[1:3] += count, weights
            if unit.kind in self._kinds:
                at = 3 + 2 * self._kinds.index(unit.kind)
                features[at : at + 2] += macs, traffic
        return features

    def _shares(self, tables: Sequence[dict[_Unit, Array]]) -> tuple[Array, Array]:
        """Return the share of the usual time of each unit, ``(n, units)``, and that time, ``(n,)``."""
        position = {unit: index for index, unit in enumerate(self._units)}
        times = np.zeros((len(tables), len(position)))
        for row, table in zip(times, tables, strict=True):
            for unit, features in table.items():
                row[position[unit]] = features @ self._rates(unit.kind)
        usual = np.maximum(self._constant + times.sum(axis=1), 1e-12)
        return times / usual[:, None], usual

    def _fit(self, shares: Array, residuals: Array) -> None:
        """Choose the hyperparameters, and solve for the residuals ``(n,)``."""
        best, count = np.inf, len(residuals)
        for length in _LENGTHS:
            alike, near = _kernels(self._units, self._units, length)
            of_kind, of_shape = (shares @ kernel @ shares.T for kernel in (alike, near))
            parts = np.stack([np.ones((count, count)), of_kind, of_shape, np.eye(count)])
            result = minimize(
                _loss, _USUAL, args=(parts, residuals), jac=True, method="L-BFGS-B", bounds=_BOUNDS
            )
            if result.fun < best:
                best, self._length, self._deviations = result.fun, length, result.x
                solved = cho_solve(_factor(result.x, parts), residuals)
        self._shared = float(np.exp(2 * self._deviations[0]) * solved.sum())
        self._solved = shares.T @ solved


def fit(architectures: Sequence[Architecture], milliseconds: ArrayLike, num_classes: int) -> Predictor:
    """Return a predictor of latencies on the device that some networks were measured on.

    Args:
        architectures: measured networks, three or more; 30 are a good number.
        milliseconds: ``(n,)`` latency of each.
        num_classes: classes of the data.

    Raises:
        ValueError: too few networks, another number of latencies, or one that is not positive.
    """
    times = np.asarray(milliseconds, dtype=np.float64)
    if len(architectures) < LEAST:
        raise ValueError(f"{LEAST} measured networks or more are needed, got {len(architectures)}")
    if times.shape != (len(architectures),):
        raise ValueError(f"{len(architectures)} networks and latencies of shape {times.shape}")
    if not (np.isfinite(times).all() and (times > 0).all()):
        raise ValueError("latencies must be positive numbers")
    return Predictor(architectures, times, num_classes)


@lru_cache(1 << 12)
def _table(architecture: Architecture, num_classes: int) -> dict[_Unit, Array]:
    """Return count, multiply-adds, traffic and weights of each unit, the last three in millions."""
    table: defaultdict[_Unit, Array] = defaultdict(lambda: np.zeros(4))
    for operation in _executed(architecture, num_classes):
        table[_unit(operation)] += (
            1.0, operation.macs / 1e6, operation.traffic / 1e6, operation.weights / 1e6
        )  # fmt: skip
    return dict(table)


def _executed(architecture: Architecture, num_classes: int) -> Iterator[Operation]:
    """Yield all operations, with costly activations as operations of their own."""
    for operation in architecture.operations(num_classes):
        yield operation
        if operation.activation not in _FUSED:
            kind = str(operation.activation)
            yield replace(operation, kind=kind, inputs=operation.outputs, kernel=1, groups=1)


@lru_cache(1 << 15)
def _unit(operation: Operation) -> _Unit:
    inputs, outputs = operation.inputs, operation.outputs
    sizes = (
        operation.kernel, inputs[0], outputs[0], inputs[1] * inputs[2], outputs[1] * outputs[2]
    )  # fmt: skip
    octaves = (round(2 * float(np.log2(size))) / 2 for size in sizes)
    aligned = (_UNALIGNED * (channels % _ALIGNED != 0) for channels in (inputs[0], outputs[0]))
    return _Unit(_kind(operation), (*octaves, *aligned))


def _kind(operation: Operation) -> str:
    inputs = operation.inputs
    if operation.kind != CONVOLUTION:
        return operation.kind
    if operation.groups > 1:
        return "depthwise" if operation.groups == inputs[0] else "grouped"
    if inputs[1] * inputs[2] == 1:
        return "linear"
    return "pointwise" if operation.kernel == 1 else "full"


def _fitted_rates(features: Array, milliseconds: Array) -> Array:
    """Return milliseconds per unit of each feature, none negative, of the least relative errors."""
    rates, _ = nnls(features / milliseconds[:, None], np.ones(len(milliseconds)))
    return np.asarray(rates, dtype=np.float64)


def _kernels(left: Sequence[_Unit], right: Sequence[_Unit], length: float) -> tuple[Array, Array]:
    """Return the kernels of kind and of shape, each ``(left, right)`` and of unit variance.

    Args:
        left: units.
        right: units.
        length: of the kernel over shapes, octaves.
    """
    kinds, others = (np.array([unit.kind for unit in units]) for units in (left, right))
    alike = (kinds[:, None] == others[None]).astype(np.float64)
    a, b = (np.array([unit.shape for unit in units]) for units in (left, right))
    squared = (a**2).sum(1)[:, None] + (b**2).sum(1)[None] - 2 * a @ b.T
    return alike, alike * np.exp(-np.maximum(squared, 0) / (2 * length**2))


def _factor(deviations: Array, parts: Array) -> tuple[Array, bool]:
    """Return the Cholesky factor of the covariance of the residuals."""
    covariance = np.tensordot(np.exp(2 * deviations), parts, 1)
    covariance[np.diag_indices_from(covariance)] += 1e-10
    factor: tuple[Array, bool] = cho_factor(covariance, lower=True)
    return factor


def _loss(deviations: Array, parts: Array, residuals: Array) -> tuple[float, Array]:
    """Return the negative log posterior of the hyperparameters, and its gradient (eq. 5.8 and 5.9)."""
    factor = _factor(deviations, parts)
    solved = cho_solve(factor, residuals)
    away = (deviations - _USUAL) / _SPREAD
    likelihood = residuals @ solved / 2 + np.log(np.diag(factor[0])).sum()
    inner = cho_solve(factor, np.eye(len(residuals))) - np.outer(solved, solved)
    gradient = np.exp(2 * deviations) * np.einsum("ij,kij->k", inner, parts)
    return float(likelihood + (away**2).sum() / 2), gradient + away / _SPREAD
