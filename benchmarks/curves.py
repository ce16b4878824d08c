"""Learning curves of random networks of the mobilenet space, for benchmarks in virtual time.

Usage: python benchmarks/curves.py DATA --work DIR [--networks 60] [--epochs 27] [--seed 0] [--csv FILE]

Trains networks as ``search --fidelity asha`` does, one after the other in one thread, and appends a row
to the CSV file as each one ends. Networks that have their row are skipped. Checkpoints stay in the work
directory, so that more --epochs lengthen the trainings that are there; give another --csv then.

The networks have at most 4 M MACs, which 41 % of the space's have at 16 to 32 pixels: 27 epochs of
4,000 images then take about two minutes of one core.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import torch

from core.config import DataConfig, SearchConfig, TrainConfig
from minnow.evaluators import TrainEvaluator
from minnow.evaluators.train import Checkpoints
from nas.cost import cost
from nas.objectives import Objectives
from nas.spaces.mobilenet import MobileNet
from nas.strategies.random import RandomSearch
from nas.trial import Proposal
from training.data.images import data_options, open_images
from training.fit import Fitted

LIMIT = "macs<=4M"
RESOLUTIONS = (16, 20, 24, 28, 32)
COLUMNS = ("network", "choices", "seed", "params", "macs", "epochs", "val_f1", "seconds")


def main() -> None:
    """Train the networks that have no row yet."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data")
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--networks", type=int, default=60)
    parser.add_argument("--epochs", type=int, default=27)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--csv", type=Path, default=Path(__file__).with_name("curves_cifar10-small.csv"))
    given = parser.parse_args()
    torch.set_num_threads(1)
    data_config = DataConfig(spec=given.data)
    data = open_images(data_config.spec, data_options(data_config))
    config = SearchConfig(data=data_config, train=TrainConfig(epochs=given.epochs), fidelity="asha")
    checkpoints = Checkpoints(given.work / "checkpoints", warn=print)
    evaluator = TrainEvaluator(data, config, checkpoints=checkpoints)
    done = finished(given.csv)
    for proposal in networks(given.networks, given.seed, data.num_classes):
        if proposal.number in done:
            continue
        row = described(proposal, evaluator.trained(proposal), data.num_classes)
        append(given.csv, row)
        print(*row[:1], *row[3:], flush=True)


def networks(count: int, seed: int, num_classes: int) -> list[Proposal]:
    """Return the first ``count`` proposals of random search, with the seeds of their trainings."""
    space, objectives = MobileNet(RESOLUTIONS), Objectives.parse(["f1:max"], [LIMIT])
    strategy = RandomSearch(space, objectives, seed=seed, num_classes=num_classes)
    return [strategy.ask() for _ in range(count)]


def described(proposal: Proposal, fitted: Fitted, num_classes: int) -> list[str]:
    """Return the row of a training: validation F1 and seconds after every epoch."""
    total = cost(proposal.architecture, num_classes)
    return [
        str(proposal.number),
        " ".join(map(str, proposal.choices)),
        str(proposal.seed),
        str(total.params),
        str(total.macs),
        str(len(fitted.history)),
        " ".join(f"{epoch['val_f1']:.4f}" for epoch in fitted.history),
        " ".join(f"{epoch['seconds']:.2f}" for epoch in fitted.history),
    ]


def finished(path: Path) -> set[int]:
    """Return the numbers of the networks that have a row."""
    if not path.exists():
        return set()
    with path.open(encoding="utf-8", newline="") as file:
        return {int(row["network"]) for row in csv.DictReader(file)}


def append(path: Path, row: list[str]) -> None:
    """Append a row, under a header where the file is new."""
    new = not path.exists()
    with path.open("a", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        if new:
            writer.writerow(COLUMNS)
        writer.writerow(row)


if __name__ == "__main__":
    main()
