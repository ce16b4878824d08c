"""Fine-tuning with batches in one piece and in parts: test macro-F1, memory, time.

Usage: python benchmarks/batch_parts.py DATA [--size 128] [--epochs 6] [--splits 3] [--threads 1]

Each fine-tuning has a process and a cache of its own; the two of a split run one after the other.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import resource
import tempfile
from typing import Any
from unittest.mock import patch

import numpy as np
import torch

from core.config import AugmentConfig, DataConfig, TeacherConfig
from minnow.data_set import open_data
from minnow.listener import Listener
from minnow.teacher import fine_tuned

ARMS = {"one piece": 2**20, "parts": None}  # images of a part


def main() -> None:
    """Fine-tune, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", help="as of --data")
    parser.add_argument("--size", type=int, default=128, help="side of the stored images, pixels")
    parser.add_argument("--teacher", default="tf_efficientnet_lite0")
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--splits", type=int, default=3, help="number of split seeds, from 0")
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    print("| split | batches | validation F1 | test macro-F1 | seconds | largest memory, GB |")
    print("|---|---|---|---|---|---|")
    scores: dict[str, list[float]] = {arm: [] for arm in ARMS}
    for split in range(given.splits):
        for arm in list(ARMS)[:: -1 if split % 2 else 1]:
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                line = pool.apply(tuned, (given, split, arm))
            scores[arm].append(line["test"])
            print(
                f"| {split} | {arm} | {line['val']:.3f} | {line['test']:.3f} | {line['seconds']:.0f} | "
                f"{line['memory']:.2f} |",
                flush=True,
            )
    gain = np.subtract(scores["parts"], scores["one piece"])
    deviation = f" ± {gain.std(ddof=1):.4f}" if len(gain) > 1 else ""
    print(f"\nparts minus one piece: {gain.mean():+.4f}{deviation} (n = {len(gain)})")


def tuned(given: argparse.Namespace, split: int, arm: str) -> dict[str, Any]:
    """Fine-tune and score a teacher, in this process."""
    torch.set_num_threads(given.threads)
    source = DataConfig(spec=given.data, size=given.size, split_seed=split)
    config = TeacherConfig(spec=given.teacher, epochs=given.epochs)
    with tempfile.TemporaryDirectory() as cache, patch.dict(os.environ, MINNOW_CACHE=cache):
        data = open_data(source, Listener())
        most = ARMS[arm]
        if most is None:
            teacher = fine_tuned(config, data, AugmentConfig(), Listener())
        else:
            with patch("teachers.finetune.images_at_once", lambda side: most):
                teacher = fine_tuned(config, data, AugmentConfig(), Listener())
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
        test = teacher.evaluate(data, "test").f1
    return {"val": teacher.val.f1, "test": test, "seconds": teacher.seconds, "memory": memory}


if __name__ == "__main__":
    main()
