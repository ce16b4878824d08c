"""What a teacher gains from seeing images enlarged, and what that costs.

Usage: python benchmarks/teacher_resolution.py DATA --out FILE.jsonl [--side 128 --side 192 ...]
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

import torch

from nas.config import AugmentConfig, DataConfig, TeacherConfig
from teachers.finetune import prepare_teacher
from training.files import read_lines, write_lines
from training.images import open_images, options_of


def main() -> None:
    """Fine-tune what has no line yet."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", help="as of --data")
    parser.add_argument("--out", type=Path, required=True, help="JSON lines file")
    parser.add_argument("--side", type=int, action="append", required=True, help="pixels")
    parser.add_argument("--split-seeds", type=int, default=1, help="how many, from 0")
    parser.add_argument("--image-size", type=int, help="stored side (from the images)")
    parser.add_argument("--teacher", default="tf_efficientnet_lite0", help="as of distill --teacher")
    parser.add_argument("--epochs", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    rows = read_lines(given.out)
    for split_seed in range(given.split_seeds):
        source = DataConfig(spec=given.data, size=given.image_size, split_seed=split_seed)
        data = open_images(source.spec, options_of(source))
        for side in given.side:
            shaped = {"data": data.digest, "side": side, "teacher": given.teacher, "epochs": given.epochs}
            if any(shaped.items() <= row.items() for row in rows):
                continue
            config = TeacherConfig(spec=given.teacher, epochs=given.epochs, resolution=side)
            teacher = prepare_teacher(config, data, AugmentConfig())
            test = teacher.evaluate(data, "test")
            found = {"split_seed": split_seed, "seconds": teacher.seconds}
            rows.append({**shaped, **found, "val_f1": teacher.val.f1, "f1": test.f1})
            write_lines(given.out, rows)
            print(f"split {split_seed}, {side} px: test macro-F1 {test.f1:.4f}", flush=True)
    print(
        "| side | test macro-F1 | minus the first | validation | seconds | n |\n|---|---|---|---|---|---|"
    )
    by_side = {side: {row["data"]: row for row in rows if row["side"] == side} for side in given.side}
    first = by_side[given.side[0]]
    for side, runs in by_side.items():
        gains = [run["f1"] - first[data]["f1"] for data, run in runs.items() if data in first]
        scores = [spread([run[name] for run in runs.values()]) for name in ("f1", "val_f1")]
        seconds = statistics.median(run["seconds"] for run in runs.values())
        print(
            f"| {side} px | {scores[0]} | {spread(gains)} | {scores[1]} | {seconds:.0f} | {len(runs)} |"
        )


def spread(values: list[float]) -> str:
    """Mean ± standard deviation, the latter from two values on."""
    deviation = f" ± {statistics.stdev(values):.4f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.4f}{deviation}"


if __name__ == "__main__":
    main()
