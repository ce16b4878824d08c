"""Minnow against what its users would do instead: a lower resolution, pruning, a script for Optuna.

Usage: python benchmarks/peers_pruning.py DATA --out DIR [--size 128] [--limit 'latency_ms<=1.4']
           [--epochs 32] [--teacher-epochs 10] [--seeds 3] [--first-seed 0]
           [--methods minnow optuna ...] [--threads 2]
       python benchmarks/peers_pruning.py --out DIR [--pool FILE ...]      (prints the table)

All methods have the same images, splits, teacher (EfficientNet-Lite0, fine-tuned), limit and epochs:

- minnow: ``search --space elastic`` within the limit and ``distill``, with the defaults.
- resolution: timm's network from its pretrained weights, fine-tuned on labels at the largest side within
  the limit, found by measuring. resolution-distilled: the fine-tuned teacher at such a side, distilled.
- torch-pruning: the teacher pruned with Torch-Pruning (group Taylor importance, in stages) to the
  multiply-adds of Minnow's student, then distilled.
- fastnas: the teacher pruned with NVIDIA ModelOpt's FastNAS to as many, then distilled with its loss.
- optuna: TPESampler and MedianPruner over the decisions of ``mobilenet``, trials trained from scratch,
  for as long as Minnow's search took; then its best network is trained from scratch.

Distillation is ``distill``'s and starts from the teacher's weights. All trainings share recipe, loop and
choice of the epoch on validation; the test split is read once, by the same code for all. A line goes
into DIR/results.jsonl as each method ends, and one with the latencies of all networks, measured in turns
on ONNX Runtime. Finished methods are skipped; one that was interrupted begins again, so that its time is
whole. Time after the teacher includes computing the teacher's outputs, for methods that use them.
"""

from __future__ import annotations

import argparse
import copy
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from contest import Contender, Contest, NoNetworkError, NotInstalledError
from given_network import Input, score_given
from peer_methods import PEERS, TAUGHT, minnow_search
from peers_table import MINNOW, RESULTS, TEACHER, network_name, table

from core.config import DataConfig, StudentConfig, TeacherConfig, TrainConfig
from core.errors import UserError
from core.files import write_bytes, write_lines
from core.reading import read_bytes, read_lines
from deploy.latency_measurement import ROUNDS
from deploy.targets import DEFAULT, connect
from deploy.targets.base import ConvertedModel
from deploy.targets.conversion import convert, input_shape
from deploy.targets.session import MAX_RUNS
from minnow.data_set import open_data
from minnow.progress import ConsoleListener
from minnow.teacher import fine_tuned, student_teacher
from nas.objectives import parse_limit
from training.budget import resolve_student
from training.device import keep_freed_memory

_NETWORKS = "networks"  # folder of the ONNX files
_LARGEST = 2**30  # bytes of one
_SEARCH = ("trials", "supernet_epochs", "evaluator")  # settings of Minnow's search that may be given


def main() -> None:
    """Run the methods that have no line yet, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", nargs="?", help="as of --data; without it the table is printed")
    parser.add_argument("--out", type=Path, required=True, help="directory of the results")
    parser.add_argument("--size", type=int, default=128, help="side of the stored images, pixels")
    parser.add_argument("--limit", default="latency_ms<=1.4", help="as of search --limit")
    parser.add_argument("--teacher", default="tf_efficientnet_lite0", help="as of search --teacher")
    parser.add_argument("--teacher-epochs", type=int, default=10)
    parser.add_argument("--epochs", type=int, default=32, help="of every final training")
    parser.add_argument("--trials", type=int, help="of Minnow's search (its default)")
    parser.add_argument("--supernet-epochs", type=int, help="of Minnow's search (its default)")
    parser.add_argument("--evaluator", help="of Minnow's search (its default)")
    parser.add_argument("--seeds", type=int, default=1, help="number of seeds")
    parser.add_argument("--first-seed", type=int, default=0, help="of them")
    names = [MINNOW, *PEERS]
    parser.add_argument("--methods", nargs="+", choices=names, default=names)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--pool", type=Path, nargs="*", default=[], help="more results, for the table")
    given = parser.parse_args()
    if given.data is not None:
        torch.set_num_threads(given.threads)
        keep_freed_memory()
        _compete(given)
    print(table(*map(read_lines, (given.out / RESULTS, *given.pool))))


def _compete(given: argparse.Namespace) -> None:
    """Run the methods that have no line yet, seed by seed."""
    contest, setup = _prepared(given)
    for seed in range(given.first_seed, given.first_seed + given.seeds):
        for method in given.methods:
            rows = _rows(given.out)
            if any((row["method"], row["seed"]) == (method, seed) for row in rows):
                continue
            work = given.out / network_name(method, seed)
            shutil.rmtree(work, ignore_errors=True)
            work.mkdir(parents=True)
            ours = [row for row in rows if (row["method"], row["seed"]) == (MINNOW, seed)]
            line = {**setup, "method": method, "seed": seed}
            started = time.perf_counter()
            try:
                contender = _trained(method, contest.of(seed, work, next(iter(ours), None)), given)
            except NotInstalledError as missing:
                print(f"{method}: skipped, it needs {missing}", flush=True)
                continue
            except NoNetworkError as reason:
                _append(given.out, {**line, "failed": str(reason)})
                continue
            after = whole = time.perf_counter() - started
            if method in TAUGHT:
                teacher = next(row for row in rows if row["method"] == TEACHER)
                after += teacher["outputs_seconds"]
                whole = after + teacher["seconds"]
            line |= {"after_seconds": after, "seconds": whole}
            _record(given.out, setup, {**line, **_scored(contender, contest, given.out, method, seed)})


def _trained(method: str, contest: Contest, given: argparse.Namespace) -> Contender:
    if method != MINNOW:
        return PEERS[method](contest)
    settings = {name: getattr(given, name) for name in _SEARCH if getattr(given, name) is not None}
    return minnow_search(contest, settings)


def _prepared(given: argparse.Namespace) -> tuple[Contest, dict[str, Any]]:
    """Prepare the teacher and write its line; return the shared conditions, and as lines state them."""
    limit = parse_limit(given.limit)
    if limit.metric != "latency_ms" or not limit.upper:
        raise SystemExit(f"--limit {given.limit}: write it as 'latency_ms<=1.4'")
    listener = ConsoleListener()
    source = DataConfig(spec=given.data, size=given.size)
    tuned = TeacherConfig(spec=given.teacher, epochs=given.teacher_epochs)
    data = open_data(source, listener)
    recipe = TrainConfig(epochs=given.epochs)
    student = StudentConfig(data=source, teacher=tuned, train=recipe)
    student = resolve_student(student, len(data.splits["train"]), inherits=True)
    member = fine_tuned(tuned, data, student.augment, listener)
    started = time.perf_counter()
    prepared, data = student_teacher(student, data, listener, [member])
    seconds = time.perf_counter() - started
    assert prepared is not None
    contest = Contest(data, source, prepared, tuned, limit.value, given.epochs, 0)
    setup = {
        "data": data.digest,
        "classes": data.num_classes,
        "teacher": member.digest,
        "limit_ms": limit.value,
        "epochs": given.epochs,
        **{name: getattr(given, name) for name in _SEARCH},
    }
    lines = read_lines(given.out / RESULTS)
    if lines and not setup.items() <= lines[0].items():
        raise SystemExit(f"{given.out} holds results of other conditions; give another --out")
    if not lines:
        sees = Input(member.resolution, member.normalization)
        contender = Contender(copy.deepcopy(member.model).to("cpu"), sees, student).adjusted
        times = {"seconds": member.seconds, "after_seconds": 0.0, "outputs_seconds": seconds}
        line = {**setup, "method": TEACHER, "seed": 0, **times}
        _record(given.out, setup, {**line, **_scored(contender, contest, given.out, TEACHER, 0)})
    return contest, setup


def _rows(out: Path) -> list[dict[str, Any]]:
    """Return the lines of methods."""
    return [line for line in read_lines(out / RESULTS) if "method" in line]


def _scored(contender: Contender, contest: Contest, out: Path, method: str, seed: int) -> dict[str, Any]:
    """Score a network, and keep it for the runtime."""
    name = network_name(method, seed)
    scores = score_given(contender.model, contender.sees, contest.data, contender.student, out / name)
    sees = contender.sees
    target = connect(DEFAULT).target
    converted = convert(target, contender.model, sees.resolution, normalization=sees.normalization)
    (content,) = converted.files.values()
    write_bytes(out / _NETWORKS / f"{name}.onnx", content)
    print(f"{name}: test macro-F1 {scores['f1']:.4f}", flush=True)
    return {**scores, **contender.facts}


def _record(out: Path, setup: Mapping[str, Any], line: Mapping[str, Any]) -> None:
    """Append the line of a method, and one with the latencies of all networks, measured in turns."""
    rows = [row for row in (*_rows(out), line) if "f1" in row]
    names = [network_name(row["method"], row["seed"]) for row in rows]
    session = connect(DEFAULT)
    models = []
    for name, row in zip(names, rows, strict=True):
        path = out / _NETWORKS / f"{name}.onnx"
        shape = input_shape(session.target, row["resolution"])
        models.append(ConvertedModel({"model.onnx": read_bytes(path, "", limit=_LARGEST)}, shape))
    latencies = session.measure(models, most=ROUNDS * MAX_RUNS)
    measured = {name: one.to_dict() for name, one in zip(names, latencies, strict=True)}
    _append(out, line, {**setup, "latencies": measured, "machine": session.machine})


def _append(out: Path, *lines: Mapping[str, Any]) -> None:
    write_lines(out / RESULTS, [*read_lines(out / RESULTS), *lines])


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        raise SystemExit(str(error)) from None
