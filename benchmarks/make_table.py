"""Train every network of a small space several times, as a table for `cli.py bench strategies`.

Usage: python benchmarks/make_table.py OUT.json [--space FILE.py:CLASS] [--data digits]
       [--epochs 4] [--seeds 3]

Writes OUT after every network, and resumes from it. A network's `test_acc` is the accuracy, in
percent, of the epoch that each training keeps, on the test split.
"""

from __future__ import annotations

import argparse
import json
import statistics
from pathlib import Path
from typing import Any

import numpy as np
from rich.progress import track

import nas.spaces
from core.config import DataConfig, SearchConfig, TrainConfig
from core.files import write_text
from minnow.evaluators import TrainEvaluator
from nas.cost import cost
from nas.trial import Proposal
from training.data.images import data_options, open_images
from training.evaluate import evaluate
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
    data = open_images(config.spec, data_options(config))
    recipe = TrainConfig(epochs=options.epochs, views=options.epochs)
    evaluator = TrainEvaluator(data, SearchConfig(data=config, train=recipe))
    space = nas.spaces.load(options.space)()
    rows: dict[str, Any] = json.loads(options.out.read_text()) if options.out.exists() else {}
    for index, point in enumerate(track(list(space.points()), "networks")):
        code = "".join(map(str, point))
        if code in rows:
            continue
        network = space.decode(point)
        accuracies = []
        for seed in np.random.SeedSequence(index).generate_state(options.seeds).tolist():
            model = evaluator.trained(Proposal(index, point, network, seed)).model
            test = evaluate(model, data, "test", resolution=network.resolution, normalization=IMAGENET)
            accuracies.append(test.accuracy)
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


if __name__ == "__main__":
    main()
