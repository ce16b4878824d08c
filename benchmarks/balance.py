"""The modes of --balance, each trained with the same seeds on one network.

Usage: python benchmarks/balance.py DATA --out FILE.jsonl [--long-tail 20] [--epochs 30] [--seeds 5]
       [--model MODEL.yaml | --point '0 1 ...'] [--resolution 96] [--teacher SPEC]

A line goes into FILE.jsonl as each training ends, with everything that shaped it. Trainings that have
their line are skipped, and a killed one goes on from its checkpoint in FILE/. The table at the end is of
what these settings have so far: scores on the test split, and the mean over seeds of (mode - none) with
the same seed.

--long-tail R makes the training split smaller, class by class: from the largest class on, sizes fall
exponentially to a share of 1/R (Cui et al. 2019, "Class-balanced loss", https://arxiv.org/abs/1901.05555).
Validation and test stay whole, so that post-hoc tunes on more rare images than the training split has.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import statistics
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch

from commands.teaching import teach
from distill.run import train_student
from nas.architecture import Architecture
from nas.config import BalanceConfig, DataConfig, StudentConfig, TeacherConfig, TrainConfig
from nas.files import write_text
from nas.spaces.mobilenet import MobileNet
from training.images import ImageSet, open_images, options_of

MODES: tuple[str, ...] = get_args(BalanceConfig.model_fields["mode"].annotation)
#: 245 k parameters with 6 classes; 3.8 M MACs at 32 and 64 pixels, 8.5 M at 96.
POINT = "0 1 1 0 0 0 0 0 1 0 2 0 0 0 1 0 2 1 0 1 1 0 2 1 1 1 1 0 2 1 1 1"


def main() -> None:
    """Train what has no line yet."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", help="as of --data")
    parser.add_argument("--out", type=Path, required=True, help="JSON lines file")
    parser.add_argument(
        "--long-tail", type=float, default=1.0, metavar="R", help="imbalance (1: as it is)"
    )
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--views", type=int, default=TrainConfig().views)
    parser.add_argument("--seeds", type=int, default=5, help="how many, from 0")
    parser.add_argument("--mode", action="append", choices=MODES, help="repeatable (all)")
    parser.add_argument("--model", type=Path, help="model YAML")
    parser.add_argument("--point", default=POINT, help="choices in the mobilenet space at --resolution")
    parser.add_argument("--resolution", type=int, help="of --point (the stored side, at most 96)")
    parser.add_argument("--image-size", type=int, help="stored side (from the images)")
    parser.add_argument("--teacher", help="as of distill --teacher")
    parser.add_argument("--teacher-epochs", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    source = DataConfig(spec=given.data, size=given.image_size)
    data = long_tailed(open_images(source.spec, options_of(source)), given.long_tail)
    architecture = network(given.model, given.point, given.resolution or min(96, data.size))
    teacher = given.teacher and TeacherConfig(spec=given.teacher, epochs=given.teacher_epochs)
    recipe = TrainConfig(epochs=given.epochs, views=given.views)
    base = StudentConfig(data=source, teacher=teacher, train=recipe)
    taught = teach(teacher, data, base.augment, min(given.views, given.epochs)) if teacher else None
    shared = {
        "data": data.name,
        "long_tail": given.long_tail,
        "digest": data.digest,
        "network": architecture.key,
        "epochs": given.epochs,
        "views": given.views,
        "teacher": None if taught is None else taught.teacher.digest,
    }
    counts = np.bincount(data.labels[data.splits["train"]]).tolist()
    print(f"{data.name}: {dict(zip(data.classes, counts, strict=True))} to train on")
    rows = finished(given.out)
    for seed in range(given.seeds):
        for mode in given.mode or MODES:
            key = {**shared, "mode": mode, "seed": seed}
            if any(key.items() <= row.items() for row in rows):
                continue
            work = given.out.with_suffix("") / hashlib.sha256(json.dumps(key).encode()).hexdigest()[:16]
            config = base.model_copy(update={"balance": BalanceConfig(mode=mode), "seed": seed})
            metrics = train_student(architecture, data, config, work, taught=taught, latency=lambda _: {})
            rows.append({**key, **results(metrics)})
            write_text(given.out, "".join(json.dumps(row) + "\n" for row in rows))
            print(mode, seed, f"{metrics['test']['f1']:.4f}", flush=True)
    print(f"\n{table([row for row in rows if shared.items() <= row.items()])}")


def long_tailed(data: ImageSet, ratio: float) -> ImageSet:
    """The same images with fewer of them to train on: the k-th largest of C classes keeps
    ``n * ratio ** (-k / (C - 1))`` of the n of the largest, or all where it has fewer.

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
    splits = {**data.splits, "train": np.sort(np.concatenate(kept))}
    digest = hashlib.sha256(data.digest.encode() + splits["train"].tobytes()).hexdigest()[:32]
    return replace(data, splits=splits, digest=digest)


def network(model: Path | None, point: str, resolution: int) -> Architecture:
    """The network of a model file, or else of a point of the mobilenet space."""
    if model is not None:
        return Architecture.from_yaml(model)
    return MobileNet((resolution,)).decode([int(choice) for choice in point.split()])


def finished(path: Path) -> list[dict[str, Any]]:
    """The lines of earlier runs."""
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def results(metrics: dict[str, Any]) -> dict[str, Any]:
    """What a line keeps of ``metrics.json``."""
    test = metrics["test"]
    return {
        "tau": metrics["balance"]["tau"],
        "f1": test["f1"],
        "balanced_accuracy": test["balanced_accuracy"],
        "accuracy": test["accuracy"],
        "per_class_f1": test["per_class_f1"],
        "val_f1": metrics["val"]["f1"],
        "epoch": metrics["epoch"],
        "params": metrics["params"],
        "macs": metrics["macs"],
        "seconds": metrics["seconds"],
        "versions": metrics["versions"],
    }


def table(rows: Sequence[dict[str, Any]]) -> str:
    """A Markdown table, one row per mode: mean ± standard deviation over seeds."""
    by_mode = {m: {r["seed"]: r for r in rows if r["mode"] == m} for m in MODES}
    plain = by_mode["none"]
    lines = [
        "| balance | test macro-F1 | minus none, paired | balanced accuracy | accuracy | tau | n |",
        "|---|---|---|---|---|---|---|",
    ]
    for mode, runs in by_mode.items():
        if not runs:
            continue
        differences = [run["f1"] - plain[seed]["f1"] for seed, run in runs.items() if seed in plain]
        scores = [
            spread([run[name] for run in runs.values()])
            for name in ("f1", "balanced_accuracy", "accuracy")
        ]
        paired = spread(differences, "+") if mode != "none" and differences else "-"
        taus = [run["tau"] for run in runs.values() if run["tau"] is not None]
        tau = " to ".join(f"{tau:g}" for tau in sorted({min(taus), max(taus)})) if taus else "-"
        lines.append(
            f"| {mode} | {scores[0]} | {paired} | {' | '.join(scores[1:])} | {tau} | {len(runs)} |"
        )
    return "\n".join(lines)


def spread(values: Sequence[float], sign: str = "") -> str:
    """Mean ± standard deviation, the latter from two values on."""
    deviation = f" ± {statistics.stdev(values):.4f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):{sign}.4f}{deviation}"


if __name__ == "__main__":
    main()
