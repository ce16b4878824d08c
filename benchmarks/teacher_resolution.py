"""Gain and cost of enlarging images for a teacher.

Usage: python benchmarks/teacher_resolution.py DATA --out FILE.jsonl --side 128 --side 192 [--side ...]
       [--split-seeds 3] [--image-size S] [--teacher SPEC] [--epochs E] [--threads 1]

One fine-tuning for each side of the teacher's input and each split of the images (of data that states its
splits there is one). The table has the test macro-F1, mean ± standard deviation over splits, the mean of
the differences to the first side on the same split, and the seconds of a fine-tuning. A line goes
into FILE.jsonl as each one ends; those that have theirs are skipped.
"""

from __future__ import annotations

import argparse
import statistics
from pathlib import Path
from typing import Any

import torch
from distillation import spread

from core.config import AugmentConfig, DataConfig, TeacherConfig
from core.files import write_lines
from core.reading import read_lines
from teachers.finetune import finetune_teacher
from training.data.images import data_options, open_images


def main() -> None:
    """Run the fine-tunings that have no line yet, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", help="as of --data")
    parser.add_argument("--out", type=Path, required=True, help="JSON lines file")
    parser.add_argument("--side", type=int, action="append", required=True, help="pixels")
    parser.add_argument("--split-seeds", type=int, default=1, help="number of splits")
    parser.add_argument("--image-size", type=int, help="stored side (from the images)")
    parser.add_argument("--teacher", default="tf_efficientnet_lite0", help="as of distill --teacher")
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    rows = read_lines(given.out)
    by_side: dict[int, dict[str, dict[str, Any]]] = {side: {} for side in given.side}
    for split_seed in range(given.split_seeds):
        source = DataConfig(spec=given.data, size=given.image_size, split_seed=split_seed)
        data = open_images(source.spec, data_options(source))
        for side in given.side:
            shaped = {"data": data.digest, "side": side, "teacher": given.teacher, "epochs": given.epochs}
            if found := next((row for row in rows if shaped.items() <= row.items()), None):
                by_side[side][data.digest] = found
                continue
            config = TeacherConfig(spec=given.teacher, epochs=given.epochs, resolution=side)
            teacher = finetune_teacher(config, data, AugmentConfig())
            test = teacher.evaluate(data, "test")
            took = {"split_seed": split_seed, "seconds": teacher.seconds}
            rows.append({**shaped, **took, "val_f1": teacher.val.f1, "f1": test.f1})
            by_side[side][data.digest] = rows[-1]
            write_lines(given.out, rows)
            print(f"split {split_seed}, {side} px: test macro-F1 {test.f1:.4f}", flush=True)
    print(
        "| side | test macro-F1 | minus the first | validation | seconds | n |\n|---|---|---|---|---|---|"
    )
    first = by_side[given.side[0]]
    for side, runs in by_side.items():
        gains = [run["f1"] - first[data]["f1"] for data, run in runs.items() if data in first]
        tested, validated = (spread([run[name] for run in runs.values()]) for name in ("f1", "val_f1"))
        seconds = statistics.median(run["seconds"] for run in runs.values())
        gain = spread(gains, "+")
        print(f"| {side} px | {tested} | {gain} | {validated} | {seconds:.0f} | {len(runs)} |")


if __name__ == "__main__":
    main()
