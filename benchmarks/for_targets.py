"""Students found for a target against the float student converted for it.

Usage: python benchmarks/for_targets.py RUN --out DIR [--target T ...] [--part 4] [--trials 40]
           [--epochs N] [--converted T ...] [--qat] [--microcontroller onnxruntime-int8]

RUN is a search in the space elastic with its supernet, from which every student here comes. For each
target a search looks for networks within a part of the teacher's latency on that target; its choice is
distilled, quantised by validation where the target is of int8, and scored on the test images by the
target's runtime. The student of the first target is converted for all others, too, and for those of
``--converted`` without a search. With ``--qat`` the students of int8 targets are trained on with fake
quantisation, too. With ``--microcontroller`` a last search looks for what 410 kB of flash and 20 M
multiply-adds hold.
Steps that are finished in DIR are not repeated.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path
from typing import Any

import torch
from trained_lines import limit_ms, opened

import minnow
from core.reading import read_json
from deploy.shipping import REPORT
from deploy.targets import parse, precision, safe_name
from deploy.targets.base import INT8
from distill.supernet import SUPERNET_FOLDER
from minnow.progress import ConsoleListener
from minnow.qat_run import QAT_FOLDER
from minnow.run_directory import Run
from minnow.student import Student
from nas.spaces.elastic import Elastic
from training.bundle_files import CONFIG_FILE, METRICS_FILE, STUDENT_FOLDER

_SMALL = ["flash_kb<=410", "macs<=20M"]
_TARGETS = ["onnxruntime", "onnxruntime-int8", "openvino", "openvino-int8", "litert-int8", "ncnn"]


def main() -> None:
    """Search, distil and convert what is not there yet, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, help="of search --space elastic")
    parser.add_argument("--out", type=Path, required=True, help="directory of the runs")
    parser.add_argument("--target", nargs="+", default=_TARGETS, help="the first is that of float")
    parser.add_argument("--part", type=float, default=4, help="of the teacher's latency")
    parser.add_argument("--trials", type=int, default=40)
    parser.add_argument("--epochs", type=int, help="as of distill")
    parser.add_argument("--converted", nargs="*", default=[], help="targets without a search")
    parser.add_argument("--qat", action="store_true", help="train on for int8, too")
    parser.add_argument("--microcontroller", metavar="TARGET", help="search within 410 kB of flash")
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    run, data, space = opened(given.run)
    rows = [
        "| target | limit | student | F1 float | F1 there (95 % of the change) | latency | flash | RAM |"
    ]
    rows.append("|---|---|---|---|---|---|---|---|")
    settings = {"trials": given.trials, "epochs": given.epochs}
    first = given.out / safe_name(given.target[0])
    for target in given.target:
        own = given.out / safe_name(target)
        limit = limit_of(own, target, space, data.num_classes, given.part)
        found(run, own, target, [f"latency_ms<={limit:.4f}"], **settings)
        rows.append(row(own / STUDENT_FOLDER, target, f"{limit:.2f} ms", "searched for it"))
        if given.qat and precision(target) == INT8:
            rows.append(row(trained_on(own, target), target, f"{limit:.2f} ms", "searched for it, QAT"))
        if own != first:
            rows.append(row(first / STUDENT_FOLDER, target, f"{limit:.2f} ms", "converted"))
        print("\n".join(rows), flush=True)
    for target in given.converted:
        limit = limit_of(given.out / safe_name(target), target, space, data.num_classes, given.part)
        rows.append(row(first / STUDENT_FOLDER, target, f"{limit:.2f} ms", "converted"))
    if given.microcontroller:
        own, target = given.out / "microcontroller", given.microcontroller
        found(run, own, target, _SMALL, **settings)
        rows.append(row(own / STUDENT_FOLDER, target, "410 kB, 20 M", "searched for it"))
        if given.qat:
            rows.append(row(trained_on(own, target), target, "410 kB, 20 M", "searched for it, QAT"))
    print("\n".join(rows))


def limit_of(own: Path, target: str, space: Elastic, classes: int, part: float) -> float:
    """Return a part of the teacher's latency on a target, ms: that of the search if there is one."""
    if (own / CONFIG_FILE).exists():
        limit = next(text for text in Run(own).config.limits if text.startswith("latency_ms"))
        return float(limit.removeprefix("latency_ms<="))
    return limit_ms(space, classes, part, target=target)


def found(
    run: Run, own: Path, target: str, limits: list[str], *, trials: int, epochs: int | None
) -> None:
    """Search for a target and distil the choice, with the supernet of a run."""
    if not (own / SUPERNET_FOLDER).exists():
        shutil.copytree(run.path / SUPERNET_FOLDER, own / SUPERNET_FOLDER)
    begun = (own / CONFIG_FILE).exists()
    listener = ConsoleListener()
    given: dict[str, Any] = {"trials": trials}
    if not begun:
        given |= {"config": run.path / CONFIG_FILE, "target": target, "limits": limits}
    if not begun or len(Run(own).trials) < trials:
        minnow.search(out=own, resume=begun, listener=listener, **given)
    student = own / STUDENT_FOLDER
    if not (student / METRICS_FILE).exists():
        # A target that names a program on a device is taken over from no file.
        length: dict[str, Any] = {"target": target} | ({} if epochs is None else {"epochs": epochs})
        minnow.distill(own, resume=student.exists(), listener=listener, **length)


def trained_on(run: Path, target: str) -> Path:
    """Return the student of a run after quantisation-aware training."""
    folder = run / QAT_FOLDER
    if not (folder / METRICS_FILE).exists():
        listener = ConsoleListener()
        minnow.distill(run, qat=True, target=target, resume=folder.exists(), listener=listener)
    return folder


def row(folder: Path, target: str, limit: str, how: str) -> str:
    """Return the line of a student on a target, which is converted and scored if that was not done."""
    student = Student(folder)
    if not student.shipped(target):
        student.ship(target, listener=ConsoleListener())
    report, network = read_json(student.export_folder(target) / REPORT, ""), student.bundle.architecture
    runtime, classes = parse(target)[0], len(student.classes)
    low, high = (100 * end for end in report["test_f1_difference"][1:])
    quantized = report["quantization"] or "float"
    params, macs = student.metrics["params"] / 1e3, student.metrics["macs"] / 1e6
    return (
        f"| {target} | {limit} | {how}, {params:.0f} k, {macs:.1f} M, {network.resolution} px | "
        f"{report['test_f1_float']:.3f} | "
        f"{report['test_f1']:.3f} ({low:+.1f} to {high:+.1f}; {quantized}) | "
        f"{report['latency_ms']['median']:.2f} ms | {runtime.flash_kb(network, classes):,.0f} kB, file "
        f"{sum(report['files'].values()) / 1024:,.0f} kB | {runtime.ram_kb(network, classes):,.0f} kB |"
    )


if __name__ == "__main__":
    main()
