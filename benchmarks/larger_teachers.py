"""A larger teacher: what the students of one architecture gain from it, and what it costs.

Usage: python benchmarks/larger_teachers.py RUN --out DIR [--seeds 3] [--epochs 32] [--threads 1]
           [--teacher tf_efficientnet_lite0 tf_efficientnet_lite2@192]

RUN is that of ``search --space elastic`` with a supernet. Its best network is distilled from each
teacher (a spec of ``--teacher``; ``NAME@SIDE`` states the side of its input), with the defaults of
``distill`` except for the epochs. All students start from the same weights, those of the supernet. Each
training leaves a line in DIR, and several processes may share the work. The table gives per teacher its
own test macro-F1 and that of its students, the students' difference to those of the first teacher with a
95 % interval (paired bootstrap over the test images, all seeds in every resample), the minutes of its
fine-tuning, and the minutes of its outputs, which are those of one batch times the number of batches.
``benchmarks/teachers.sh`` does all of it.
"""

from __future__ import annotations

import argparse
import re
import statistics
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from trained_lines import begun, difference, parser_of, rows_of, student_of, teacher_of, train_line

from core.config import StudentConfig, TeacherConfig
from distill.student_loss import feature_kind
from distill.supernet import SUPERNET_FOLDER, load_supernet
from minnow.run_directory import Run
from teachers.ensemble import PreparedTeacher
from teachers.finetune import Teacher
from teachers.output_cache import inference_function
from training.data.images import ImageSet

_BATCH_SIZE, _REPEATS = 64, 5  # of the timed inference


def main() -> None:
    """Run the trainings that have no line yet, and print the table."""
    parser = parser_of(__doc__)
    parser.set_defaults(seeds=3, threads=1)
    lites = ["tf_efficientnet_lite0", "tf_efficientnet_lite2"]
    parser.add_argument("--teacher", nargs="+", default=lites, help="as of distill --teacher")
    parser.add_argument("--epochs", type=int, default=32)
    given = parser.parse_args()
    run, data, _ = begun(given)
    for spec in given.teacher:
        _train(spec, run, data, _folder(given.out, spec), given.seeds, given.epochs)
    rows = {spec: _rows(_folder(given.out, spec), given) for spec in given.teacher}
    print(f"\n{table(rows, data.num_classes)}")


def _folder(out: Path, spec: str) -> Path:
    return out / re.sub(r"[^A-Za-z0-9_.@*-]+", "+", spec)


def _rows(folder: Path, given: argparse.Namespace) -> list[dict[str, Any]]:
    """Return the lines of these seeds and epochs, by seed."""
    rows = [row for row in rows_of(folder) if row["epochs"] == given.epochs and row["seed"] < given.seeds]
    return sorted(rows, key=lambda row: row["seed"])


def _train(spec: str, run: Run, data: ImageSet, folder: Path, seeds: int, epochs: int) -> None:
    lines = {seed: folder / f"{epochs}-{seed}.json" for seed in range(seeds)}
    if all(line.exists() for line in lines.values()):
        return
    if run.best is None or run.config.teacher is None:
        raise SystemExit(f"{run.path} has found no network")
    folder.mkdir(parents=True, exist_ok=True)
    searched, images = run.config.teacher, len(data.splits["train"])
    # The resolution is the spec's: the search's may belong to another network.
    taught = TeacherConfig(spec=spec, epochs=searched.epochs, learning_rate=searched.learning_rate)
    config = run.config.model_copy(update={"teacher": taught})
    student = student_of(config, images, epochs=epochs, seed=0)
    teacher, whole = teacher_of(student, data), load_supernet(run.path / SUPERNET_FOLDER)
    cost = {"spec": spec, **_cost(teacher, student, images)}
    for seed, line in lines.items():
        seeded = student.model_copy(update={"seed": seed})
        row = train_line(line, lambda: cost, run.best.architecture, data, seeded, teacher, whole)
        if row is not None:
            print(spec, seed, f"{row['f1']:.4f}", flush=True)


def _cost(teacher: PreparedTeacher, student: StudentConfig, images: int) -> dict[str, Any]:
    """Return what the teacher cost: seconds of its fine-tuning and of all outputs, and multiply-adds."""
    members, views = teacher.ensemble.members, student.train.shown_views
    per_image = sum(_seconds_per_image(member, student) for member in members)
    return {
        "teacher_seconds": sum(member.seconds for member in members),
        "outputs_seconds": per_image * views * images,
        "teacher_macs": teacher.costs["macs"],
    }


def _seconds_per_image(member: Teacher, student: StudentConfig) -> float:
    """Return the median time of a batch's inference per image, after one to warm up."""
    kind = feature_kind(student.loss)
    infer = inference_function(member.model, member.resolution, () if kind is None else (kind,))
    batch = torch.zeros(_BATCH_SIZE, 3, member.resolution, member.resolution)
    infer(batch)
    times = []
    for _ in range(_REPEATS):
        started = time.perf_counter()
        infer(batch)
        times.append(time.perf_counter() - started)
    return statistics.median(times) / _BATCH_SIZE


def table(rows: Mapping[str, Sequence[Mapping[str, Any]]], classes: int) -> str:
    """Return the Markdown table.

    Args:
        rows: lines by teacher; the others are compared with the first.
        classes: of the data.
    """
    lines = [
        "| teacher | MACs | its test macro-F1 | students' test macro-F1 | minus the first, points (95 %) "
        "| fine-tuning, min | outputs, min | n |",
        "|---|---|---|---|---|---|---|---|",
    ]
    first = next(iter(rows.values()))
    for spec, its in rows.items():
        if not its:
            continue
        seeds = {row["seed"] for row in its}
        minus = (
            "" if its is first else difference([[r for r in first if r["seed"] in seeds]], [its], classes)
        )
        scores = [row["f1"] for row in its]
        deviation = np.std(scores, ddof=1) if len(its) > 1 else 0.0
        one = its[0]
        lines.append(
            f"| {spec} | {one['teacher_macs'] / 1e6:.0f} M | {one['teacher_f1']:.3f} "
            f"| {np.mean(scores):.3f} ± {deviation:.3f} | {minus} | {one['teacher_seconds'] / 60:.1f} "
            f"| {one['outputs_seconds'] / 60:.1f} | {len(its)} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
