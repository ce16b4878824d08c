"""A Gaussian process on the choices of a search space, for few trials and many decisions.

The algebra is written out because scikit-learn's ``GaussianProcessRegressor`` maximises the plain
likelihood, which overfits thirty length scales to ten trials, and evaluates kernels pair by pair, which
is too slow for thousands of candidates. It is the oracle of the tests instead.

Source: Rasmussen and Williams, "Gaussian Processes for Machine Learning", 2006, algorithm 2.1 and
sections 2.7 and 5.4.1.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.linalg import cho_solve, solve_triangular
from scipy.linalg.lapack import dpotri
from scipy.optimize import minimize

from nas.strategies.gp.encoding import Codes, Encoding

_SLOPE = 1.0  # prior variance of the constant and of each slope; targets are standardised
_CURVATURE = 0.25  # of each coefficient of second order


@dataclass(frozen=True)
class Trend:
    """A polynomial of second order in the standardised features, its coefficients normal around 0.

    Curved, because more of a network is not always better: a line fitted to the whole range of sizes
    promises too much at its ends. Without features the mean is a constant.

    Source: Rasmussen and Williams, "Gaussian Processes for Machine Learning", 2006, section 2.7.

    Attributes:
        centre: ``(features,)``, subtracted.
        spread: ``(features,)``, divided by then.
    """

    centre: np.ndarray
    spread: np.ndarray

    @classmethod
    def of(cls, features: np.ndarray) -> Trend:
        """Standardise the observations' ``features``, ``(n, features)``; n is at least 1."""
        spread = features.std(axis=0)
        return cls(features.mean(axis=0), np.where(spread > 0, spread, 1.0))

    def variance(self, features: np.ndarray) -> np.ndarray:
        """Return the prior variance of the mean at each point, ``(points,)``."""
        scaled = (features - self.centre) / self.spread
        return _polynomial(np.sum(scaled * scaled, axis=1))

    def covariance(self, ones: np.ndarray, others: np.ndarray) -> np.ndarray:
        """Return the prior covariance of the mean between points (eq. 2.40, B being the variances).

        Args:
            ones: ``(ones, features)``.
            others: ``(others, features)``.
        """
        left, right = ((features - self.centre) / self.spread for features in (ones, others))
        return _polynomial(left @ right.T)


def _polynomial(product: np.ndarray) -> np.ndarray:
    """Return the covariance for an inner product, whose square has every second-order term."""
    covariance = _CURVATURE * product
    covariance += _SLOPE
    covariance *= product
    covariance += _SLOPE
    return np.asarray(covariance)


_JITTER = 1e-8
_BLOCK = 128  # points predicted at a time, so that their covariances stay in the cache
_STEPS = 60  # of L-BFGS
_BOUND = 12.0  # on the logarithm of every hyperparameter

# Prior on the logarithms: normal around log of these, standard deviation 1. A point that differs in
# everything is about exp(-1) correlated, however many decisions there are, so by default effects add up
# and interactions are weak.
_TOTAL_WEIGHT = 1.0
_SIGNAL = 1.0
_NOISE = 0.15


@dataclass(frozen=True)
class Hyperparameters:
    """Hyperparameters of the kernel ``trend + signal * exp(-sum_d weights_d distance_d)`` and the noise.

    With one-hot codes this is the exponential Hamming kernel, a product over decisions of
    ``exp(-weights_d [x_d != y_d])``, which is the RBF kernel on one-hot vectors.

    Attributes:
        weights: ``(decisions,)``, inverse length scales.
        signal: variance of the function.
        noise: variance of one observation.
    """

    weights: np.ndarray
    signal: float
    noise: float

    @classmethod
    def prior(cls, decisions: int) -> Hyperparameters:
        """Return the prior's median."""
        return cls(np.full(decisions, _TOTAL_WEIGHT / decisions), _SIGNAL, _NOISE)

    @property
    def logs(self) -> np.ndarray:
        """Logarithms of weights, signal and noise, ``(decisions + 2,)``."""
        return np.log([*self.weights, self.signal, self.noise])

    @classmethod
    def of_logs(cls, logs: np.ndarray) -> Hyperparameters:
        """Invert :attr:`logs`."""
        values = np.exp(logs)
        return cls(values[:-2], float(values[-2]), float(values[-1]))


def negative_log_posterior(
    hyperparameters: Hyperparameters, distances: np.ndarray, mean: np.ndarray, targets: np.ndarray
) -> tuple[float, np.ndarray]:
    """Return the negative log posterior of the hyperparameters (eq. 5.8) and its gradient (eq. 5.9).

    Args:
        hyperparameters: where.
        distances: ``(decisions, pairs)``, in each decision, of the pairs of observations i < j in
            the order of :func:`numpy.triu_indices`.
        mean: ``(n, n)``, covariance of the mean.
        targets: ``(n,)``, standardised observations.

    Returns:
        The value, and the gradient with respect to ``hyperparameters.logs``.
    """
    pairs = np.triu_indices(len(targets), 1)
    weights, signal, noise = hyperparameters.weights, hyperparameters.signal, hyperparameters.noise
    correlated = signal * np.exp(-(weights @ distances))
    covariance = mean + (signal + noise + _JITTER) * np.eye(len(targets))
    covariance[pairs[::-1]] += correlated  # the lower triangle, which is all that is read
    lower = np.linalg.cholesky(covariance)
    alpha = cho_solve((lower, True), targets, check_finite=False)
    inverse, _ = dpotri(lower.T, lower=0)  # its upper triangle
    inner = np.outer(alpha, alpha) - inverse
    slope = inner[pairs] * correlated
    offset = hyperparameters.logs - Hyperparameters.prior(len(weights)).logs
    value = 0.5 * targets @ alpha + np.log(np.diag(lower)).sum() + 0.5 * offset @ offset
    gradient = [
        *(weights * (distances @ slope)),
        -slope.sum() - 0.5 * signal * np.trace(inner),
        -0.5 * noise * np.trace(inner),
    ]
    return float(value), np.array(gradient) + offset


def fit_hyperparameters(encoding: Encoding, codes: Codes, targets: np.ndarray) -> Hyperparameters:
    """Return the hyperparameters of highest posterior density, found from the prior's median.

    Starts afresh each time, so that it depends on the observations alone.

    Args:
        encoding: of ``codes``.
        codes: ``(n, columns + features)``, observed points; a point observed twice is there twice.
        targets: ``(n,)``, standardised observations.
    """
    distances = encoding.distances(codes)[:, *np.triu_indices(len(codes), 1)]
    features = encoding.features(codes)
    mean = Trend.of(features).covariance(features, features)
    start = Hyperparameters.prior(len(encoding.tables)).logs
    optimum = minimize(
        lambda logs: negative_log_posterior(Hyperparameters.of_logs(logs), distances, mean, targets),
        start,
        jac=True,
        method="L-BFGS-B",
        bounds=[(-_BOUND, _BOUND)] * len(start),
        options={"maxiter": _STEPS},
    )
    return Hyperparameters.of_logs(optimum.x)


@dataclass(frozen=True)
class Posterior:
    """The process conditioned on observations, and on pending points where :meth:`hallucinated`.

    Attributes:
        encoding: of ``codes``.
        hyperparameters: of the kernel and the noise.
        trend: the mean.
        codes: ``(n, columns + features)``, observed points, then pending ones.
        lower: ``(n, n)``, Cholesky factor L of the covariance of ``codes``, noise included.
        whitened: ``(n,)``, L^-1 targets; 0 for pending points.
    """

    encoding: Encoding
    hyperparameters: Hyperparameters
    trend: Trend
    codes: Codes
    lower: np.ndarray
    whitened: np.ndarray

    @classmethod
    def of(
        cls,
        encoding: Encoding,
        hyperparameters: Hyperparameters,
        trend: Trend,
        codes: Codes,
        targets: np.ndarray,
    ) -> Posterior:
        """Condition the process on observed ``codes`` and their standardised ``targets``, ``(n,)``."""
        prior = cls(encoding, hyperparameters, trend, codes[:0], np.empty((0, 0)), np.empty(0))
        posterior = prior.hallucinated(codes)
        whitened = solve_triangular(posterior.lower, targets, lower=True, check_finite=False)
        return replace(posterior, whitened=whitened)

    def hallucinated(self, codes: Codes) -> Posterior:
        """Return the process as if ``codes`` had been observed at their means.

        No mean changes, and deviations shrink around ``codes``; the factor grows by a block.

        Source: Desautels et al., "Parallelizing exploration-exploitation tradeoffs in Gaussian process
        bandit optimization", 2014, section 4.1.
        """
        if len(codes) == 0:
            return self
        known, added = len(self.codes), len(codes)
        cross = self._whitened_kernel(codes)
        corner = self._kernel(codes, codes) - cross.T @ cross
        corner[np.diag_indices(added)] += self.hyperparameters.noise + _JITTER
        lower = np.zeros((known + added, known + added))
        lower[:known, :known] = self.lower
        lower[known:, :known] = cross.T
        lower[known:, known:] = np.linalg.cholesky(corner)
        return replace(
            self,
            codes=np.concatenate([self.codes, codes]),
            lower=lower,
            whitened=np.concatenate([self.whitened, np.zeros(added)]),
        )

    def predict(self, codes: Codes) -> tuple[np.ndarray, np.ndarray]:
        """Return mean and deviation of the noiseless function at ``codes``, ``(points,)`` each."""
        mean = np.empty(len(codes))
        variance = self.hyperparameters.signal + self.trend.variance(self.encoding.features(codes))
        for start in range(0, len(codes), _BLOCK):
            block = slice(start, start + _BLOCK)
            cross = self._whitened_kernel(codes[block])
            mean[block] = self.whitened @ cross
            variance[block] -= np.einsum("np,np->p", cross, cross)
        return mean, np.sqrt(np.maximum(variance, 1e-12))

    def mean(self, codes: Codes) -> np.ndarray:
        """Return the mean alone at ``codes``, ``(points,)``; much faster."""
        weights = solve_triangular(self.lower, self.whitened, lower=True, trans="T", check_finite=False)
        starts = range(0, len(codes), _BLOCK)
        blocks = (self._kernel(self.codes, codes[start : start + _BLOCK]) for start in starts)
        return np.concatenate([np.empty(0), *(weights @ block for block in blocks)])

    def _whitened_kernel(self, codes: Codes) -> np.ndarray:
        """Return L^-1 times the covariance with ``codes``, ``(n, points)``."""
        kernel = self._kernel(self.codes, codes)
        if len(self.codes) == 0:
            return kernel
        return np.asarray(solve_triangular(self.lower, kernel, lower=True, check_finite=False))

    def _kernel(self, ones: Codes, others: Codes) -> np.ndarray:
        kernel = self.encoding.distance(ones, others, self.hyperparameters.weights)
        np.exp(np.negative(kernel, out=kernel), out=kernel)
        kernel *= self.hyperparameters.signal
        kernel += self.trend.covariance(self.encoding.features(ones), self.encoding.features(others))
        return kernel
