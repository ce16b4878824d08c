"""Train every network of a small space several times, as a table for `cli.py bench strategies`.

Usage: python benchmarks/tabulate.py OUT.json [--space FILE.py:CLASS] [--data digits]
       [--epochs 4] [--seeds 3]

Writes OUT after every network and goes on where it stopped. A network's `test_acc` is the accuracy, in
percent, of each training's best epoch (by validation) on the test split.
"""

from __future__ import annotations

import argparse
import json
import statistics
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.progress import track

import nas.spaces
from nas.architecture import Architecture
from nas.config import AugmentConfig, DataConfig, TrainConfig
from nas.cost import cost
from nas.files import write_text
from nas.networks import build
from training.batches import Batches, augmentation_of
from training.evaluate import logits_of, score
from training.fit import cross_entropy, fit
from training.images import ImageSet, open_images, options_of
from training.preprocess import IMAGENET


def main() -> None:
    """Fill the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=Path)
    parser.add_argument("--space", default="./benchmarks/stages_space.py:Stages")
    parser.add_argument("--data", default="digits")
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    config = DataConfig(spec=options.data)
    data = open_images(config.spec, options_of(config))
    space = nas.spaces.load(options.space)()
    rows: dict[str, Any] = json.loads(options.out.read_text()) if options.out.exists() else {}
    for index, point in enumerate(track(list(space.points()), "networks")):
        code = "".join(map(str, point))
        if code in rows:
            continue
        network = space.decode(point)
        accuracies = [
            accuracy(network, data, options.epochs, seed)
            for seed in np.random.SeedSequence(index).generate_state(options.seeds)
        ]
        total = cost(network, data.num_classes)
        rows[code] = {
            "test_acc": [round(100 * value, 3) for value in accuracies],
            "mean_acc": round(100 * statistics.mean(accuracies), 3),
            "std": round(100 * statistics.pstdev(accuracies), 3),
            "params": total.params,
            "flops": total.macs,
        }
        lines = ",\n".join(f"{json.dumps(key)}: {json.dumps(row)}" for key, row in rows.items())
        write_text(options.out, f"{{\n{lines}\n}}\n")


def accuracy(network: Architecture, data: ImageSet, epochs: int, seed: int) -> float:
    """On the test split, 0 to 1, after a training as in a search."""
    torch.manual_seed(int(seed))
    batches = Batches(
        data=data,
        resolution=network.resolution,
        normalization=IMAGENET,
        augmentation=augmentation_of(AugmentConfig(), data),
        batch_size=TrainConfig().batch_size,
        views=epochs,
        seed=int(seed),
    )
    recipe = TrainConfig(epochs=epochs)
    loss = cross_entropy(recipe.label_smoothing)
    fitted = fit(build(network, data.num_classes), batches, loss, recipe)
    test = data.splits["test"]
    logits = logits_of(fitted.model, data, test, resolution=network.resolution, normalization=IMAGENET)
    return score(logits, data, test).accuracy


if __name__ == "__main__":
    main()
