"""Simulated annealing (Kirkpatrick et al. 1983) as a Minnow strategy."""

import math

from nas.strategies import Strategy


class Annealing(Strategy):
    """Simulated annealing: walk to better networks, and sometimes to worse ones while it is hot."""

    point = None  # where the walk stands, and how good it is there (less is better)
    loss = math.inf
    temperature, cooling = 0.05, 0.95

    def propose(self, rng):
        """A neighbour of the current point; more steps away after every refusal."""
        if self.point is None:
            return self.space.sample(rng)
        point = self.point
        for _ in range(1 + len(self.refused) // 8):
            point = self.space.mutate(point, rng)
        return point

    def observe(self, trial):
        """Move there if it is better, or by Metropolis' rule; the draw depends on the trial alone."""
        if trial.metrics is None:
            return
        loss = self.objectives.losses(trial.metrics)[0]
        heat = self.temperature * self.cooling**trial.number
        draw = (trial.proposal.seed % 1000 + 1) / 1001
        if loss <= self.loss or draw < math.exp((self.loss - loss) / heat):
            self.point, self.loss = trial.choices, loss
