"""How far repeated measurements of one latency differ, alone and beside a reference network.

Usage: python benchmarks/latency_noise.py [--networks 6] [--repeats 20]

Random networks of the elastic space are measured in turns, again and again, in the two ways. The table
has the standard deviation of each network's medians, as a share of their mean. Run it beside the load of
interest.
"""

from __future__ import annotations

import argparse

import numpy as np
import torch

from deploy.latency_measurement import classify_one, undisturbed_times
from deploy.onnx_export import onnx_bytes
from deploy.timing import BUDGET_S, MAX_RUNS, thread_clock, time_runs
from nas.cost import cost
from nas.networks import build
from nas.spaces.elastic import Elastic
from training.onnx_graph import open_session

_CLASSES = 6


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--networks", type=int, default=6)
    parser.add_argument("--repeats", type=int, default=20)
    given = parser.parse_args()
    torch.set_num_threads(1)
    space, rng = Elastic(), np.random.default_rng(0)
    networks = [space.random_subnet(rng) for _ in range(given.networks)]
    runs = [
        classify_one(open_session(onnx_bytes(build(network, _CLASSES), network.resolution)))
        for network in networks
    ]
    medians = np.empty((2, given.repeats, given.networks))
    for repeat in range(given.repeats):
        for index, run in enumerate(runs):
            alone = time_runs(run, clock=thread_clock())
            (beside,), _ = undisturbed_times([run], most=MAX_RUNS, budget_s=BUDGET_S)
            medians[:, repeat, index] = np.median(alone), np.median(beside)
    deviations = 100 * medians.std(axis=1, ddof=1) / medians.mean(axis=1)
    print("| network, ms | MACs | alone, % | beside the reference, % |\n|---|---|---|---|")
    for index, network in enumerate(networks):
        median, macs = 1e3 * medians[1, :, index].mean(), cost(network, _CLASSES).macs
        alone, beside = deviations[:, index]
        print(f"| {median:.2f} | {macs / 1e6:.1f} M | {alone:.1f} | {beside:.1f} |")
    print(
        f"\nmeans: {deviations[0].mean():.1f} % alone, {deviations[1].mean():.1f} % beside the reference"
    )


if __name__ == "__main__":
    main()
