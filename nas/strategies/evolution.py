"""Regularised (aging) evolution.

Source: Real et al., "Regularized Evolution for Image Classifier Architecture Search", AAAI 2019,
algorithm 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Unpack

import numpy as np

from nas import pareto
from nas.objectives import Objectives
from nas.spaces.base import SearchSpace
from nas.strategies.base import Given, Strategy, whole_number
from nas.trial import Trial


@dataclass(frozen=True)
class _Individual:
    choices: tuple[int, ...]
    losses: tuple[float, ...]
    violation: float


class Evolution(Strategy):
    """Regularised evolution: mutate the best of a few, let the oldest die (Real et al. 2019).

    With several goals the population keeps what survives NSGA-II's selection instead of what is
    youngest, and contests go by front, then crowding (Deb et al. 2002), since a front that dies of age
    would have to be found again. Where limits are known only after training, a network within them
    beats one beyond, and of two beyond the closer one wins.

    The defaults are for 20 to 500 trials: the paper's 100 individuals and contests of 25 (20,000
    trials) become 20 and 5, and evolution starts once half the population has been drawn at random.

    Args:
        population: how many trials live.
        sample: how many of them contend for being mutated.
    """

    def __init__(
        self,
        space: SearchSpace,
        objectives: Objectives,
        *,
        population: int = 20,
        sample: int = 5,
        **given: Unpack[Given],
    ) -> None:
        super().__init__(space, objectives, **given)
        self._size = whole_number("evolution", "population", population, minimum=2)
        self._sample = whole_number("evolution", "sample", sample, minimum=1)
        self._population: list[_Individual] = []  # oldest first
        self._order: list[tuple[float, float]] = []  # of each individual: front, then crowding

    def propose(self, rng: np.random.Generator) -> Sequence[int]:
        """Mutate the winner of a contest; draw random points until the population is half full."""
        if len(self._population) < self._size / 2:
            return self.space.sample(rng)
        contenders = rng.choice(
            len(self._population), size=min(self._sample, len(self._population)), replace=False
        )
        parent = min(contenders, key=lambda index: self._order[index])
        return self.further(self._population[parent].choices, len(self.refused), rng)

    def observe(self, trial: Trial) -> None:
        """Add the trial to the population; remove the oldest, or with several goals the worst."""
        if trial.metrics is None:
            return
        self._population.append(
            _Individual(trial.choices, self.objectives.losses(trial.metrics), self.violation(trial))
        )
        self._order = self._ordered()
        if len(self._population) > self._size:
            several = len(self.objectives.goals) > 1
            leaving = max(range(len(self._order)), key=self._order.__getitem__) if several else 0
            del self._population[leaving]
            self._order = self._ordered()

    def _ordered(self) -> list[tuple[float, float]]:
        """Return each individual's front and crowding; less is better."""
        losses = [individual.losses for individual in self._population]
        return pareto.order(losses, [individual.violation for individual in self._population])
