"""The mean of a Gaussian process: a parabola in features of the points, its coefficients unknown."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

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
        """Standardises the observations' ``features``, ``(n, features)``; n is at least 1."""
        spread = features.std(axis=0)
        return cls(features.mean(axis=0), np.where(spread > 0, spread, 1.0))

    def variance(self, features: np.ndarray) -> np.ndarray:
        """Of the mean at each point, ``(points,)``."""
        scaled = (features - self.centre) / self.spread
        return _polynomial(np.sum(scaled * scaled, axis=1))

    def covariance(self, ones: np.ndarray, others: np.ndarray) -> np.ndarray:
        """Of the mean between points, ``(ones, others)`` (eq. 2.40, B being the variances).

        Args:
            ones: ``(ones, features)``.
            others: ``(others, features)``.
        """
        left, right = ((features - self.centre) / self.spread for features in (ones, others))
        return _polynomial(left @ right.T)


def _polynomial(product: np.ndarray) -> np.ndarray:
    """Covariance as a function of the inner product, whose square has every second-order term."""
    return np.asarray(_SLOPE * (1 + product) + _CURVATURE * product * product)
