"""The mean of a Gaussian process: a line in features of the points, its slopes unknown."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_VARIANCE = 1.0  # of the constant and of each slope; targets are standardised


@dataclass(frozen=True)
class Trend:
    """A constant and a slope per standardised feature, all of them normal around 0.

    Without features the mean is a constant.

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
        return np.asarray(_VARIANCE * (1 + np.sum(scaled * scaled, axis=1)))

    def covariance(self, ones: np.ndarray, others: np.ndarray) -> np.ndarray:
        """Of the mean between points, ``(ones, others)`` (eq. 2.40, with the slopes' variance for B)."""
        left, right = ((features - self.centre) / self.spread for features in (ones, others))
        return np.asarray(_VARIANCE * (1 + left @ right.T))
