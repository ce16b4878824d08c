"""How well latencies are predicted from few measurements, and what that saves a search.

Usage: python benchmarks/latency_prediction.py [--space elastic mobilenet] [--networks 200] [--orders 10]

Random networks of a space are measured once. The first table: a predictor is fitted to
some of them and predicts the others; rank correlation, share within 10 %, median error, beside
non-negative least squares on the number of layers, multiply-adds and traffic. The second: a search that
comes by the networks in random order, under several limits; how many it measures, and how many within the
limit it turns down unmeasured. Means over orders.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import nnls
from scipy.stats import spearmanr

from deploy.architecture_latency import measure_architecture
from deploy.latency_probe import LatencyProbe
from deploy.profile import fit
from nas.architecture import Architecture
from nas.spaces.elastic import Elastic
from nas.spaces.mobilenet import MobileNet

_MEASURED = (16, 30, 100)  # networks that are fitted to
_SHARES = (0.05, 0.1, 0.3, 0.6)  # of the networks that are within the limit
_CLASSES = 6
_SPACES = {"elastic": Elastic, "mobilenet": MobileNet}


def main() -> None:
    """Measure, predict, replay, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--space", nargs="+", default=list(_SPACES), choices=list(_SPACES))
    parser.add_argument("--networks", type=int, default=200)
    parser.add_argument("--orders", type=int, default=10)
    given = parser.parse_args()
    torch.set_num_threads(1)
    for name in given.space:
        networks = drawn(name, given.networks)
        times = np.array([measure_architecture(one, _CLASSES).median_ms for one in networks])
        orders = [np.random.default_rng(seed).permutation(len(networks)) for seed in range(given.orders)]
        print(f"\n{name}: {len(networks)} networks of {times.min():.2f} to {times.max():.2f} ms\n")
        print(prediction_table(networks, times, orders))
        print(f"\n{search_table(networks, times, orders)}")


def drawn(name: str, count: int) -> list[Architecture]:
    """Return random networks of a space; in elastic of all sizes."""
    space, rng = _SPACES[name](), np.random.default_rng(0)
    if isinstance(space, Elastic):
        return [space.random_subnet(rng) for _ in range(count)]
    return [space.decode(space.sample(rng)) for _ in range(count)]


def prediction_table(
    networks: Sequence[Architecture], times: NDArray[np.float64], orders: Sequence[NDArray[np.int64]]
) -> str:
    """Return how well the predictors do on networks that they were not fitted to."""
    lines = [
        "| measured | predictor | rank correlation | within 10 %, % | median error, % |",
        "|---|---|---|---|---|",
    ]
    sums = np.array([_sums(network) for network in networks])
    for count in _MEASURED:
        scores: dict[str, list[tuple[float, ...]]] = {"least squares": [], "profile": []}
        for order in orders:
            known, other = order[:count], order[count:]
            rates, _ = nnls(sums[known] / times[known, None], np.ones(count))
            predictor = fit([networks[i] for i in known], times[known], _CLASSES)
            predicted = {
                "least squares": sums[other] @ rates,
                "profile": predictor.predict([networks[i] for i in other]),
            }
            for name, values in predicted.items():
                errors = np.abs(values / times[other] - 1)
                rank = spearmanr(values, times[other]).statistic
                scores[name].append((rank, 100 * (errors < 0.1).mean(), 100 * np.median(errors)))
        for name, its in scores.items():
            rank, within, error = np.mean(its, axis=0)
            lines.append(f"| {count} | {name} | {rank:.3f} | {within:.0f} | {error:.1f} |")
    return "\n".join(lines)


def _sums(network: Architecture) -> list[float]:
    """Return 1, the number of layers, millions of multiply-adds, and of numbers read and written."""
    operations = list(network.operations(_CLASSES))
    macs = sum(operation.macs for operation in operations)
    traffic = sum(operation.traffic for operation in operations)
    return [1.0, float(len(network.layers)), macs / 1e6, traffic / 1e6]


def search_table(
    networks: Sequence[Architecture], times: NDArray[np.float64], orders: Sequence[NDArray[np.int64]]
) -> str:
    """Return what a search measures under limits, and what it turns down wrongly."""
    lines = ["| limit, ms | within | measured | wrongly turned down |", "|---|---|---|---|"]
    took = dict(zip((network.key for network in networks), times.tolist(), strict=True))
    for limit in np.quantile(times, _SHARES):
        within = {key for key, time in took.items() if time <= limit}
        asked = []
        for order in orders:
            seen: set[str] = set()

            def measure(network: Architecture, seen: set[str] = seen) -> float:
                seen.add(network.key)
                return took[network.key]

            probe = LatencyProbe(measure, float(limit), _CLASSES)
            for index in order:
                probe(networks[index])
            asked.append(seen)
        lost = np.mean([len(within - seen) for seen in asked])
        count = np.mean([len(seen) for seen in asked])
        lines.append(f"| {limit:.2f} | {len(within)} | {count:.0f} | {lost:.1f} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
