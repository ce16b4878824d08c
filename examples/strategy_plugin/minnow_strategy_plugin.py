"""Simulated annealing (Kirkpatrick et al. 1983) as a Minnow strategy."""

import math

from nas.strategies import Strategy


class Annealing(Strategy):
    """Simulated annealing: move to better networks, and to worse ones while the temperature is high."""

    point = None  # current network; its loss, lower is better
    loss = math.inf
    temperature, cooling = 0.05, 0.95

    def propose(self, rng):
        """Return a neighbour of the current point, farther away after refusals."""
        if self.point is None:
            return self.space.sample(rng)
        point = self.point
        for _ in range(1 + len(self.refused) // 8):
            point = self.space.mutate(point, rng)
        return point

    def observe(self, trial):
        """Move by Metropolis' rule; the random draw depends on the trial alone."""
        if trial.metrics is None:
            return
        loss = self.objectives.losses(trial.metrics)[0]
        temperature = self.temperature * self.cooling**trial.number
        draw = (trial.proposal.seed % 1000 + 1) / 1001
        if loss <= self.loss or draw < math.exp((self.loss - loss) / temperature):
            self.point, self.loss = trial.choices, loss
