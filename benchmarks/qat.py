"""What int8 costs a student: post-training quantisation, before and after quantisation-aware training.

Usage: python benchmarks/qat.py RUN_OR_MODEL --out DIR [--data DATA --size 128] [--teacher-epochs 10]
           [--epochs N] [--seeds 3] [--target onnxruntime-int8 ...]

For every seed the network is distilled, then trained on as ``distill --qat`` does; both are quantised and
shipped as ``export --target`` does. Students and folders that are there are not made again. The table has
the macro-F1 on the test split (mean and standard deviation over seeds), the points that int8 loses
against the float student with a 95 % interval (paired bootstrap over the test images, all seeds in every
resample), how many of the quantisations lose more than half a point, the share of images whose label
is the float student's, cross-entropies, and the latency in int8 as a share of that in float, measured
in turns.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

import minnow
from core.reading import read_json
from deploy.quantization import TOLERANCE
from deploy.shipping import REPORT
from deploy.target_scores import logits_of_model
from deploy.targets import connect
from deploy.targets.base import ConvertedModel
from minnow.data_set import open_data
from minnow.progress import ConsoleListener
from minnow.qat_run import QAT_FOLDER
from minnow.student import Student
from training.bootstrap import compare_f1
from training.bundle_files import METRICS_FILE, STUDENT_FOLDER
from training.data.images import ImageSet
from training.evaluate import logits_of
from training.metrics import compute_metrics

ARMS = {"PTQ": STUDENT_FOLDER, "QAT": QAT_FOLDER}


@dataclass(frozen=True)
class Quantised:
    """The students of all seeds on a target, trained in one way.

    Attributes:
        labels: ``(n,)`` of the test images.
        whole_logits: of the float students, ``(seeds, n, C)``.
        int8_logits: of the quantised ones.
        share: latencies in int8, as shares of those in float.
        kept: layers that stay in float, the most of any seed.
    """

    labels: np.ndarray
    whole_logits: np.ndarray
    int8_logits: np.ndarray
    share: np.ndarray
    kept: int

    def line(self, target: str, arm: str, classes: int) -> str:
        """Return the line of the table."""
        whole, int8 = self.whole_logits.argmax(axis=-1), self.int8_logits.argmax(axis=-1)
        scores = compare_f1(self.labels, whole, int8, classes)
        float_f1, int8_f1 = (
            np.array([compute_metrics(self.labels, seed, classes).f1 for seed in side])
            for side in (whole, int8)
        )
        lost, gap = -scores.difference.value, scores.difference
        worse = np.sum(float_f1 - int8_f1 > TOLERANCE)
        deviation = np.std(int8_f1, ddof=1) if len(int8) > 1 else 0.0
        return (
            f"| {target} | {arm} | {scores.a.value:.3f} | {scores.b.value:.3f} ± {deviation:.3f} | "
            f"{100 * lost:+.1f} ({-100 * gap.high:+.1f} to {-100 * gap.low:+.1f}) | "
            f"{worse} of {len(int8)} | {100 * np.mean(whole == int8):.1f} % | "
            f"{self.entropy(self.whole_logits):.3f} | {self.entropy(self.int8_logits):.3f} | "
            f"{self.kept} | {np.mean(self.share):.2f} |"
        )

    def entropy(self, logits: np.ndarray) -> float:
        """Return the mean cross-entropy over seeds and images, in nats."""
        seeds = torch.from_numpy(logits).flatten(0, 1)
        return float(F.cross_entropy(seeds, torch.from_numpy(self.labels).repeat(len(logits))))


def main() -> None:
    """Train, quantise and ship what is not there yet, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("network", help="run of a search, or a model file")
    parser.add_argument("--out", type=Path, required=True, help="directory of the runs")
    parser.add_argument("--data", help="for a model file")
    parser.add_argument("--size", type=int, default=128, help="side of the stored images, pixels")
    parser.add_argument("--teacher-epochs", type=int, default=10)
    parser.add_argument("--epochs", type=int, help="as of distill")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--target", nargs="+", default=["onnxruntime-int8"])
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    settings: dict[str, Any] = {}
    if given.data is not None:
        settings["data"] = {"spec": given.data, "size": given.size}
        settings["teacher"] = {"spec": "tf_efficientnet_lite0", "epochs": given.teacher_epochs}
    if given.epochs is not None:
        settings["epochs"] = given.epochs
    runs = [given.out / f"seed-{seed}" for seed in range(given.seeds)]
    for seed, run in enumerate(runs):
        trained(given.network, run, {**settings, "seed": seed})
        for target in given.target:
            for folder in ARMS.values():
                ship(run / folder, target)
    data = open_data(Student(runs[0]).config.data, ConsoleListener())
    print(
        "| target | | F1 float | F1 int8 | points lost (95 %) | more than 0.5 | same labels | "
        "cross-entropy float | int8 | layers in float | latency |"
    )
    print("|---" * 11 + "|")
    for target in given.target:
        for arm, folder in ARMS.items():
            print(collected(runs, folder, target, data).line(target, arm, data.num_classes))


def trained(network: str, run: Path, settings: dict[str, Any]) -> None:
    """Train the students of one seed that are not there."""
    if not (run / QAT_FOLDER / METRICS_FILE).exists():
        listener = ConsoleListener()
        minnow.distill(network, out=run, qat=True, resume=run.exists(), listener=listener, **settings)


def ship(folder: Path, target: str) -> None:
    """Quantise a student, if that was not done."""
    if not Student(folder).shipped(target):
        Student(folder).ship(target, listener=ConsoleListener())


def collected(runs: list[Path], folder: str, target: str, data: ImageSet) -> Quantised:
    """Return the predictions of float students, and of quantised ones, on the test images."""
    test = data.splits["test"]
    whole, int8, shares, kept = [], [], [], []
    for run in runs:
        bundle = Student(run / STUDENT_FOLDER).bundle
        side = bundle.architecture.resolution
        view: dict[str, Any] = {"resolution": side, "normalization": bundle.normalization}
        whole.append(logits_of(bundle.model, data, test, **view))
        shipped = Student(run / folder).export_folder(target)
        spec, report = read_json(shipped / "inference.json", ""), read_json(shipped / REPORT, "")
        files = {name: (shipped / name).read_bytes() for name in spec["files"]}
        model = ConvertedModel(files, tuple(spec["input"]["shape"]))
        int8.append(logits_of_model(connect(target), model, data, test, side))
        shares.append(report["latency_ms"]["median"] / report["latency_ms_float"]["median"])
        words = report["quantization"].split(", ")
        kept += [int(word.split()[0]) for word in words if word.endswith("in float")] or [0]
    return Quantised(data.labels[test], np.stack(whole), np.stack(int8), np.array(shares), max(kept))


if __name__ == "__main__":
    main()
