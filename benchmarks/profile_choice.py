"""Networks to measure for a profile: those spread over the sizes of a space, against random ones.

Usage: python benchmarks/profile_choice.py [--choices 3] [--random 120] [--held-out 60]

Networks of the space elastic are measured once, in random order. A predictor is fitted to the first 8, 20
and 40 of several spread choices, and of ten random orders of the random ones. It predicts networks that
were held out: rank correlation, share within 10 %, median error, 95 % quantile of the errors, and the
share that is covered by the margin of a profile, which is meant to be 90 %. Means, and ranges of shares.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from itertools import islice

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import spearmanr

from deploy.architecture_latency import measure_architecture
from deploy.network_choice import spread_networks
from deploy.profile import fit
from deploy.profile_file import left_out, margin_of
from minnow.target_profile import SIDES
from nas.architecture import Architecture
from nas.spaces.elastic import Elastic

_COUNTS = (8, 20, 40)
_ORDERS = 10
_CLASSES = 10


def main() -> None:
    """Measure, predict, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--choices", type=int, default=3)
    parser.add_argument("--random", type=int, default=120)
    parser.add_argument("--held-out", type=int, default=60)
    given = parser.parse_args()
    torch.set_num_threads(1)
    space, rng = Elastic(SIDES), np.random.default_rng(0)
    held = [space.random_subnet(rng) for _ in range(given.held_out)]
    drawn = [space.random_subnet(rng) for _ in range(given.random)]
    spread = [
        list(islice(spread_networks(space, _CLASSES, seed), max(_COUNTS)))
        for seed in range(given.choices)
    ]
    everything = [*held, *drawn, *(network for choice in spread for network in choice)]
    times = {
        everything[index].key: measure_architecture(everything[index], _CLASSES).median_ms
        for index in rng.permutation(len(everything))
    }
    orders = [rng.permutation(len(drawn)) for _ in range(_ORDERS)]
    random = [[drawn[index] for index in order] for order in orders]
    print("| n | choice | rank correlation | within 10 % | median error | 95 % below | covered |")
    print("|---|---|---|---|---|---|---|")
    for count in _COUNTS:
        for name, choices in (("random", random), ("spread", spread)):
            scores = np.array([_score(choice[:count], held, times) for choice in choices])
            rank, within, median, most, covered = scores.mean(axis=0)
            low, high = scores[:, 1].min(), scores[:, 1].max()
            print(
                f"| {count} | {name}, {len(choices)} | {rank:.3f} "
                f"| {within:.0%} ({low:.0%} to {high:.0%}) "
                f"| {median:.1%} | {most:.1%} | {covered:.0%} |"
            )


def _score(
    chosen: Sequence[Architecture], held: Sequence[Architecture], times: dict[str, float]
) -> tuple[float, ...]:
    measured, truth = (_times(networks, times) for networks in (chosen, held))
    predicted = fit(chosen, measured, _CLASSES).predict(held)
    margin = margin_of(measured, left_out(chosen, measured, _CLASSES))
    errors = np.abs(predicted / truth - 1)
    return (
        float(spearmanr(predicted, truth).statistic),
        float((errors <= 0.1).mean()),
        float(np.median(errors)),
        float(np.quantile(errors, 0.95)),
        float((truth <= predicted * (1 + margin)).mean()),
    )


def _times(networks: Sequence[Architecture], times: dict[str, float]) -> NDArray[np.float64]:
    return np.array([times[network.key] for network in networks])


if __name__ == "__main__":
    main()
