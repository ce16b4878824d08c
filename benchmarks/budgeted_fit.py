"""What a budget of time reaches within parts of the teacher's latency and parameters.

Usage: python benchmarks/budgeted_fit.py DATA --out DIR [--part 4 8 16] [--budget 15m] [--size 128]
           [--split-seed 0] [--seed 0] [--teacher-epochs 10] [--threads 2] [--pool DIR ...]

The teacher is fine-tuned first, so the budget is for the trials and the final training.
At each part, ``fit`` is called with the budget and the limits of that part, on latency and parameters.
A part that has its student is skipped; an interrupted one is resumed. The table has the macro-F1 of
the students and their teachers on the test split and the ratio of the two: means and standard deviations
over the runs in DIR and in those of ``--pool``, which have other seeds or splits.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from trained_lines import latency, opened

import minnow
from core.reading import read_json
from minnow.progress import ConsoleListener
from nas.cost import cost
from training.bundle_files import METRICS_FILE, STUDENT_FOLDER

_TEACHER = "tf_efficientnet_lite0"


def main() -> None:
    """Run the parts that have no student yet, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data")
    parser.add_argument("--out", type=Path, required=True, help="directory of the runs")
    parser.add_argument("--part", type=int, nargs="+", default=[4, 8, 16])
    parser.add_argument("--budget", default="15m")
    parser.add_argument("--size", type=int, default=128, help="side of the stored images, pixels")
    parser.add_argument("--split-seed", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--teacher-epochs", type=int, default=10)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--pool", type=Path, nargs="*", default=[], help="other DIRs for the table")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    settings: dict[str, Any] = {
        "data": {"spec": given.data, "size": given.size, "split_seed": given.split_seed},
        "teacher": {"spec": _TEACHER, "epochs": given.teacher_epochs},
        "seed": given.seed,
    }
    whole = given.out / "whole"
    if not (whole / "study.journal").exists():  # a search of one trial, which fine-tunes the teacher
        once: dict[str, Any] = {"evaluator": "inherit", "epochs": 0, "trials": 1, "space": "elastic"}
        minnow.search(**settings, **once, out=whole, listener=ConsoleListener())
    _, data, space = opened(whole)
    largest = space.decode(space.largest)
    costs = {
        "latency_ms": latency(largest, data.num_classes),
        "params": cost(largest, data.num_classes).params,
    }
    for part in given.part:
        run = given.out / f"part{part}"
        if not (run / STUDENT_FOLDER / METRICS_FILE).exists():
            minnow.fit(
                **settings,
                limits=[f"{metric}<={value / part:.4f}" for metric, value in costs.items()],
                budget=given.budget,
                out=run,
                resume=run.exists(),
                listener=ConsoleListener(),
            )
    print(f"\n{table(rows_of([given.out, *given.pool]))}")


def rows_of(folders: Sequence[Path]) -> dict[int, list[Mapping[str, Any]]]:
    """Return the metrics of the finished students, by part."""
    rows = defaultdict(list)
    for folder in folders:
        for path in folder.glob(f"part*/{STUDENT_FOLDER}/{METRICS_FILE}"):
            rows[int(path.parts[-3].removeprefix("part"))].append(read_json(path, ""))
    return dict(sorted(rows.items()))


def table(rows: Mapping[int, Sequence[Mapping[str, Any]]]) -> str:
    """Return the Markdown table."""
    lines = [
        "| within | params | MACs | teacher's test macro-F1 | student's | ratio, % | n |",
        "|---|---|---|---|---|---|---|",
    ]
    for part, its in rows.items():
        students = np.array([row["test"]["f1"] for row in its])
        teachers = np.array([row["teacher"]["f1"] for row in its])
        params = "/".join(f"{row['params'] / 1e3:.0f}" for row in its)
        macs = "/".join(f"{row['macs'] / 1e6:.1f}" for row in its)
        scores = (spread(teachers, 3), spread(students, 3), spread(100 * students / teachers, 1))
        lines.append(f"| 1/{part} | {params} k | {macs} M | {' | '.join(scores)} | {len(its)} |")
    return "\n".join(lines)


def spread(values: np.ndarray, digits: int) -> str:
    """Return the mean with the standard deviation, where there are several values."""
    deviation = f" ± {np.std(values, ddof=1):.{digits}f}" if len(values) > 1 else ""
    return f"{np.mean(values):.{digits}f}{deviation}"


if __name__ == "__main__":
    main()
