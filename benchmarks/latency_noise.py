"""How far repeated measurements of one latency differ, alone and beside a reference network.

Usage: python benchmarks/latency_noise.py [--networks 6] [--repeats 20]

Random networks of the elastic space are measured in turns, again and again, in the two ways. The table
has the standard deviation of each network's medians, as a share of their mean. Run it beside the load of
interest.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial

import numpy as np
import torch

from deploy.device.agent import thread_clock, time_runs, undisturbed_times
from deploy.device.runners.run_onnxruntime import open_model
from deploy.targets import connect
from deploy.targets.base import ConvertedModel
from deploy.targets.conversion import convert
from deploy.targets.reference_network import reference_model
from deploy.targets.session import BUDGET_S, MAX_RUNS
from nas.cost import cost
from nas.networks import build
from nas.spaces.elastic import Elastic

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
    session = connect()
    reference, usual = _run(reference_model(session.target)), session.reference_s
    models = [convert(session.target, build(each, _CLASSES), each.resolution) for each in networks]
    runs, clock = [_run(model) for model in models], thread_clock()
    medians = np.empty((2, given.repeats, given.networks))
    for repeat in range(given.repeats):
        for index, run in enumerate(runs):
            alone = time_runs(run, clock, MAX_RUNS, BUDGET_S)
            (beside,), _ = undisturbed_times([run], reference, usual, clock, MAX_RUNS, BUDGET_S)
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


def _run(model: ConvertedModel) -> Callable[[], object]:
    """Return a call that classifies a random image."""
    image = np.random.default_rng(0).random(model.shape, dtype=np.float32)
    return partial(open_model(model.files, threads=1), image)


if __name__ == "__main__":
    main()
