"""Uniform random search: the baseline every strategy must beat."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nas.strategies.base import Strategy


class RandomSearch(Strategy):
    """Points drawn uniformly; learns nothing. The baseline."""

    def propose(self, rng: np.random.Generator) -> Sequence[int]:
        """Draw a uniform point."""
        return self.space.sample(rng)
