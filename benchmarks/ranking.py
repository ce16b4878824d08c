"""Rank correlation with final students, of trials with distillation and trials without.

Usage: python benchmarks/ranking.py DATA --out FILE.jsonl --teacher SPEC [--networks 20]
       [--limit 'macs<=4M'] [--short 3] [--long 30] [--image-size S] [--resolution R]

Random networks of the mobilenet space are trained for --short epochs as trials are and for --long ones as
students are, with the teacher and alone, with other seeds. The table has Kendall's tau between the
validation F1 of the short trainings, which a search sees, and the test F1 of the long ones, which it
predicts; in parentheses a 90 % bootstrap interval over networks, and for the difference the share of
resamples in which it is not positive. A line goes into FILE.jsonl as each training ends; trainings that
have theirs are skipped.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.stats import kendalltau

from core.config import DataConfig, LossConfig, StudentConfig, TeacherConfig, TrainConfig
from core.files import write_lines
from core.reading import read_lines
from distill.student_training import train_student
from minnow.progress import ConsoleListener
from minnow.ranking import tau
from minnow.teacher import make_teacher
from nas.objectives import Objectives
from nas.spaces.mobilenet import MobileNet
from nas.strategies.random import RandomSearch
from nas.trial import Proposal
from training.budget import resolve_student
from training.data.images import data_options, open_images

ARMS = ("alone", "distilled")
_RESAMPLES = 5_000


def main() -> None:
    """Run the trainings that have no line yet, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", help="as of --data")
    parser.add_argument("--out", type=Path, required=True, help="JSON lines file")
    parser.add_argument("--teacher", required=True, help="as of distill --teacher")
    parser.add_argument("--teacher-epochs", type=int)
    parser.add_argument("--networks", type=int, default=20)
    parser.add_argument("--limit", action="append", help="as of search --limit (macs<=4M)")
    parser.add_argument("--short", type=int, default=3, help="epochs")
    parser.add_argument("--long", type=int, default=30, help="epochs")
    parser.add_argument("--image-size", type=int, help="stored side (from the images)")
    parser.add_argument("--resolution", type=int, help="of the networks (the stored side, at most 96)")
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    source = DataConfig(spec=given.data, size=given.image_size)
    data = open_images(source.spec, data_options(source))
    teacher = TeacherConfig(spec=given.teacher, epochs=given.teacher_epochs)
    images = len(data.splits["train"])
    usual = {given.short: LossConfig(features="none"), given.long: LossConfig(features="hint")}
    configs = {
        epochs: resolve_student(
            StudentConfig(data=source, teacher=teacher, loss=loss, train=TrainConfig(epochs=epochs)),
            images,
        )
        for epochs, loss in usual.items()
    }
    teachers = {
        epochs: make_teacher(
            teacher,
            each.loss,
            data,
            each.augment,
            min(each.train.views, epochs),
            listener=ConsoleListener(),
        )[0]
        for epochs, each in configs.items()
    }
    rows = read_lines(given.out)
    known = {(row["network"], row["arm"], row["epochs"]) for row in rows}
    space = MobileNet((given.resolution or min(96, data.size),))
    for proposal in networks(space, given.limit or ["macs<=4M"], given.networks, data.num_classes):
        for arm in ARMS:
            for seed, epochs in enumerate((given.short, given.long)):
                name = (proposal.number, arm, epochs)
                if name in known:
                    continue
                changes = {"seed": seed, **({} if arm == "distilled" else {"teacher": None})}
                config = configs[epochs].model_copy(update=changes)
                work = given.out.with_suffix("") / "-".join(map(str, name))
                said = teachers[epochs] if arm == "distilled" else None
                metrics = train_student(proposal.architecture, data, config, work, teacher=said)
                rows.append(row(name, metrics))
                write_lines(given.out, rows)
                print(*name, f"{metrics['val']['f1']:.3f} {metrics['test']['f1']:.3f}", flush=True)
    print(f"\n{table(rows, given.short, given.long)}")


def networks(space: MobileNet, limits: Sequence[str], count: int, classes: int) -> list[Proposal]:
    """Return random networks within the limits."""
    objectives = Objectives.parse(["f1:max"], limits)
    strategy = RandomSearch(space, objectives, seed=0, num_classes=classes)
    return [strategy.ask() for _ in range(count)]


def row(name: tuple[int, str, int], metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Return a line of the file."""
    number, arm, epochs = name
    return {
        "network": number,
        "arm": arm,
        "epochs": epochs,
        "val_f1": metrics["val"]["f1"],
        "test_f1": metrics["test"]["f1"],
        **{key: metrics[key] for key in ("params", "macs", "seconds", "versions")},
    }


def table(rows: Sequence[Mapping[str, Any]], short: int, long: int) -> str:
    """Return a Markdown table of rank correlations, and the difference that the teacher makes."""
    by_name = {(each["network"], each["arm"], each["epochs"]): each for each in rows}
    numbers = sorted({number for number, *_ in by_name})
    whole = [n for n in numbers if all((n, arm, e) in by_name for arm in ARMS for e in (short, long))]
    short_f1 = {arm: np.array([by_name[n, arm, short]["val_f1"] for n in whole]) for arm in ARMS}
    long_f1 = {arm: np.array([by_name[n, arm, long]["test_f1"] for n in whole]) for arm in ARMS}
    lines = [
        f"| tau with the test F1 after {long} epochs, {len(whole)} networks | of {short} epochs alone "
        "| of as many, distilled | difference |",
        "|---|---|---|---|",
    ]
    for target in ARMS:
        truth = long_f1[target]

        def difference(at: np.ndarray, truth: np.ndarray = truth) -> float:
            alone, distilled = (kendalltau(short_f1[arm][at], truth[at]).statistic for arm in ARMS)
            return float(distilled - alone)

        columns = [str(tau(short_f1[arm].tolist(), truth.tolist())) for arm in ARMS]
        lines.append(f"| {target} | {' | '.join(columns)} | {interval(difference, len(whole))} |")
    return "\n".join(lines)


def interval(value: Callable[[np.ndarray], float], count: int) -> str:
    """Return a difference over all networks, with the 5 % and 95 % quantiles of its resamples."""
    rng = np.random.default_rng(0)
    resampled = np.array([value(rng.integers(count, size=count)) for _ in range(_RESAMPLES)])
    low, high = np.nanquantile(resampled, (0.05, 0.95))
    p = np.mean(resampled <= 0)
    return f"{value(np.arange(count)):+.2f} ({low:+.2f} to {high:+.2f}, p = {p:.2g})"


if __name__ == "__main__":
    main()
