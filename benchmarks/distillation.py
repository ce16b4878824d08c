"""Recipes for one student, compared on the same seeds: teacher or none, loss, views, balance.

Usage: python benchmarks/distillation.py DATA --out FILE.jsonl --arm NAME [alone] [SETTING=VALUE ...]
       [--arm ...] [--teacher SPEC] [--model MODEL.yaml | --point '0 1 ...'] [--seeds 5] [--epochs 30]

    --arm alone alone --arm kd --arm hint loss.features=hint --arm even alone balance.mode=sampler

An arm is a name and the settings in which it departs from the others, as in a student's config.yaml; with
the word "alone" it has no teacher. A line goes into FILE.jsonl as each training ends, with everything
that shaped it. Trainings that have their line are skipped, and a killed one resumes from its checkpoint
in FILE/. The table has the finished trainings of these settings: macro-F1 on the test split, and the mean
over seeds of (arm - first arm) with the same seed, with the p-value of the paired t-test.

--long-tail R makes the training split smaller, class by class: from the largest class on, sizes fall
exponentially to a share of 1/R (Cui et al. 2019, "Class-balanced loss", https://arxiv.org/abs/1901.05555).
Validation and test stay whole, so that post-hoc tunes on more rare images than the training split has.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from scipy.stats import ttest_rel

from core.config import DataConfig, StudentConfig, TeacherConfig, TrainConfig
from core.config_io import merged
from core.files import write_lines
from core.reading import read_lines
from distill.student_training import train_student
from minnow.progress import ConsoleListener
from minnow.teacher import make_teacher
from nas.architecture import Architecture
from nas.spaces.mobilenet import MobileNet
from training.budget import resolve_student
from training.data.images import ImageSet, data_options, open_images

#: 245 k parameters with 6 classes; 3.8 M MACs at 32 and 64 pixels, 8.5 M at 96.
POINT = "0 1 1 0 0 0 0 0 1 0 2 0 0 0 1 0 2 1 0 1 1 0 2 1 1 1 1 0 2 1 1 1"


def main() -> None:
    """Run the trainings that have no line yet, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", help="as of --data")
    parser.add_argument("--out", type=Path, required=True, help="JSON lines file")
    parser.add_argument("--arm", action="append", nargs="+", required=True, metavar="WORD")
    parser.add_argument(
        "--long-tail", type=float, default=1.0, metavar="R", help="imbalance (1: as it is)"
    )
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--views", type=int, help="as of --views (an eighth of the epochs)")
    parser.add_argument("--seeds", type=int, default=5, help="number of seeds, from 0")
    parser.add_argument("--model", type=Path, help="model YAML")
    parser.add_argument("--point", default=POINT, help="choices in the mobilenet space at --resolution")
    parser.add_argument("--resolution", type=int, help="of --point (the stored side, at most 96)")
    parser.add_argument("--image-size", type=int, help="stored side (from the images)")
    parser.add_argument("--split-seed", type=int, default=0)
    parser.add_argument("--teacher", help="as of distill --teacher")
    parser.add_argument("--teacher-epochs", type=int, default=None)
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    source = DataConfig(spec=given.data, size=given.image_size, split_seed=given.split_seed)
    data = long_tailed(open_images(source.spec, data_options(source)), given.long_tail)
    architecture = network(given.model, given.point, given.resolution or min(96, data.size))
    teacher = given.teacher and TeacherConfig(spec=given.teacher, epochs=given.teacher_epochs)
    train = TrainConfig(epochs=given.epochs, views=given.views)
    base = StudentConfig(data=source, teacher=teacher, train=train)
    images = len(data.splits["train"])
    arms = {name: resolve_student(arm(base, words), images) for name, *words in given.arm}
    for name, config in arms.items():
        if (same := next(other for other, its in arms.items() if its == config)) != name:
            raise SystemExit(f"--arm {name} is the same as --arm {same}")
    counts = np.bincount(data.labels[data.splits["train"]]).tolist()
    print(f"{data.name}: {dict(zip(data.classes, counts, strict=True))} to train on")
    teachers = {
        name: make_teacher(
            config.teacher,
            config.loss,
            data,
            config.augment,
            min(config.train.views, given.epochs),
            listener=ConsoleListener(),
        )[0]
        for name, config in arms.items()
        if config.teacher is not None
    }
    rows, keys = read_lines(given.out), {}
    for seed in range(given.seeds):
        for name, config in arms.items():
            config = config.model_copy(update={"seed": seed})
            settings = config.model_dump(mode="json", exclude={"data"})
            shaped = {"data": data.digest, "network": architecture.key, "settings": settings}
            key = hashlib.sha256(json.dumps(shaped).encode()).hexdigest()[:16]
            keys[key] = name
            if any(row["key"] == key for row in rows):
                continue
            work = given.out.with_suffix("") / key
            metrics = train_student(architecture, data, config, work, teacher=teachers.get(name))
            found = {"name": data.name, "long_tail": given.long_tail, **shaped, **results(metrics)}
            rows.append({"key": key, "arm": name, "seed": seed, **found})
            write_lines(given.out, rows)
            print(name, seed, f"{metrics['test']['f1']:.4f}", flush=True)
    mine = [{**row, "arm": keys[row["key"]]} for row in rows if row["key"] in keys]
    print(f"\n{table(mine, list(arms))}")


def arm(base: StudentConfig, words: Sequence[str]) -> StudentConfig:
    """Return the settings of an arm."""
    changes: dict[str, Any] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if equals:
            changes[name] = yaml.safe_load(value)
    config = merged(StudentConfig, base, changes)
    return config.model_copy(update={"teacher": None}) if "alone" in words else config


def long_tailed(data: ImageSet, ratio: float) -> ImageSet:
    """Return the same images with fewer of them to train on.

    The k-th largest of C classes keeps ``n * ratio ** (-k / (C - 1))`` of the n of the largest, or all
    where it has fewer.

    Args:
        data: copied but for its pixels; its digest changes with the training split.
        ratio: largest class to smallest, 1 or more.

    Raises:
        ValueError: ``ratio`` is below 1.
    """
    if ratio < 1:
        raise ValueError(f"--long-tail {ratio:g}: the largest class is at least as large as the smallest")
    if ratio == 1:
        return data
    train = data.splits["train"]
    counts = np.bincount(data.labels[train], minlength=data.num_classes)
    kept = []
    for rank, label in enumerate(np.argsort(-counts, kind="stable").tolist()):
        size = round(counts.max() * ratio ** (-rank / (data.num_classes - 1)))
        members = train[data.labels[train] == label]
        kept.append(np.random.default_rng([0, label]).permutation(members)[: max(1, size)])
    return data.resplit(train=np.sort(np.concatenate(kept)))


def network(model: Path | None, point: str, resolution: int) -> Architecture:
    """Return the network of a model file, or of a point of the mobilenet space."""
    if model is not None:
        return Architecture.from_yaml(model)
    return MobileNet((resolution,)).decode([int(choice) for choice in point.split()])


def results(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Return the part of ``metrics.json`` that a line keeps."""
    kept = ("epoch", "params", "macs", "seconds", "versions", "balance")
    test = ("f1", "f1_interval", "balanced_accuracy", "accuracy", "per_class_f1")
    return {
        **{name: metrics["test"][name] for name in test},
        "val_f1": metrics["val"]["f1"],
        "teacher_f1": None if metrics["teacher"] is None else metrics["teacher"]["f1"],
        **{name: metrics[name] for name in kept},
    }


def table(rows: Sequence[Mapping[str, Any]], names: Sequence[str]) -> str:
    """Return a Markdown table, one row per arm: mean ± standard deviation over seeds."""
    by_arm = {name: {row["seed"]: row for row in rows if row["arm"] == name} for name in names}
    first = by_arm[names[0]]
    lines = [
        f"| | test macro-F1 | minus {names[0]}, paired | p | accuracy | seconds | n |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, runs in by_arm.items():
        pairs = [(run["f1"], first[seed]["f1"]) for seed, run in runs.items() if seed in first]
        paired, p = "-", "-"
        if name != names[0] and pairs:
            paired = spread([one - other for one, other in pairs], "+")
            p = f"{ttest_rel(*zip(*pairs, strict=True)).pvalue:.2g}" if len(pairs) > 1 else "-"
        columns = [spread([run[each] for run in runs.values()]) for each in ("f1", "accuracy")]
        time = f"{statistics.median(run['seconds'] for run in runs.values()):.0f}"
        lines.append(f"| {name} | {columns[0]} | {paired} | {p} | {columns[1]} | {time} | {len(runs)} |")
    teachers = {row["teacher_f1"] for row in rows} - {None}
    lines += [f"| teacher | {f1:.4f} | | | | | 1 |" for f1 in teachers]
    return "\n".join(lines)


def spread(values: Sequence[float], sign: str = "") -> str:
    """Return mean ± standard deviation, the latter from two values on."""
    deviation = f" ± {statistics.stdev(values):.4f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):{sign}.4f}{deviation}"


if __name__ == "__main__":
    main()
