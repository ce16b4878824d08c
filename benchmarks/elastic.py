"""Students of the elastic space and their baselines, on the same seeds.

Usage: python benchmarks/elastic.py RUN --pick 'best:latency_ms<=1.4' --out FILE.jsonl [--seeds 3]
       [--epochs 15] [--arm found --arm uniform --arm scratch --arm mobilenetv3]

RUN is that of ``search --space elastic`` with its supernet; all but the last are distilled from its
teacher.

    found        the picked network, with its part of the supernet's weights, distilled for --epochs
    uniform      one share of every expansion, each long stage without its last block, as many MACs as the
                 picked network, with the teacher's weights, distilled for as long
    scratch      the picked network from random weights, distilled for twice as long
    mobilenetv3  timm's mobilenetv3_small_100 from random weights, --alone-epochs without a teacher

A line goes into FILE.jsonl as each training ends; trainings that have their line are skipped, and a
killed one resumes from its checkpoint in FILE/. The table is of macro-F1 on the test split, and of the
paired differences from the first arm; latencies are measured in turns at the end.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import timm
import torch
from distillation import results, table
from torch import nn

from core.config import INHERITED_RATE, StudentConfig, TrainConfig
from core.files import write_lines
from core.reading import read_lines
from deploy.latency_measurement import measure_in_turns
from distill.inherited_weights import InheritedWeights, inherit_from_base
from distill.student_training import train_student
from distill.supernet import find_supernet
from minnow.progress import ConsoleListener
from minnow.run_directory import choose
from minnow.teacher import make_teacher
from nas.architecture import Architecture
from nas.cost import cost
from nas.layers import make_divisible
from nas.networks import build
from nas.networks.timm_architecture import architecture_from_timm
from nas.timm_layers import InvertedResidual, stages_of
from teachers.ensemble import PreparedTeacher
from training.budget import resolve_student
from training.data.images import data_options, open_images

ARMS = ("found", "uniform", "scratch", "mobilenetv3")
_RIVAL = "mobilenetv3_small_100"


def main() -> None:
    """Run the trainings that have no line yet, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, help="of search --space elastic")
    parser.add_argument("--pick", default="best", help="as of distill --pick")
    parser.add_argument("--out", type=Path, required=True, help="JSON lines file")
    parser.add_argument("--arm", action="append", choices=ARMS)
    parser.add_argument("--seeds", type=int, default=3, help="number of seeds, from 0")
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--alone-epochs", type=int, default=100)
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    chosen = choose(str(given.run), given.pick)
    search, supernet = chosen.search, find_supernet(given.run)
    if search is None or search.teacher is None or supernet is None:
        raise SystemExit(f"{given.run} is no search in the elastic space with a supernet")
    data = open_images(search.data.spec, data_options(search.data))
    images = len(data.splits["train"])
    base = StudentConfig(data=search.data, teacher=search.teacher, augment=search.augment)
    inheriting = TrainConfig(epochs=given.epochs, learning_rate=INHERITED_RATE)
    short = resolve_student(base.model_copy(update={"train": inheriting}), images)
    long = resolve_student(
        base.model_copy(update={"train": TrainConfig(epochs=2 * given.epochs)}), images
    )
    recipe = TrainConfig(epochs=given.alone_epochs)
    alone = resolve_student(base.model_copy(update={"train": recipe, "teacher": None}), images)
    found, cut = chosen.architecture, uniform(supernet.base, chosen.architecture, data.num_classes)
    rival = architecture_from_timm(timm.create_model(_RIVAL), _RIVAL, data.size)
    teachers = {
        epochs: make_teacher(
            search.teacher,
            config.loss,
            data,
            config.augment,
            min(config.train.views, epochs),
            listener=ConsoleListener(),
        )[0]
        for epochs, config in ((given.epochs, short), (2 * given.epochs, long))
    }
    teacher = inherit_from_base(teachers[given.epochs].ensemble.members[0], data, search.space.importance)
    plans: dict[
        str, tuple[Architecture, StudentConfig, PreparedTeacher | None, InheritedWeights | None]
    ] = {
        "found": (found, short, teachers[given.epochs], supernet),
        "uniform": (cut, short, teachers[given.epochs], teacher),
        "scratch": (found, long, teachers[2 * given.epochs], None),
        "mobilenetv3": (rival, alone, None, None),
    }
    rows = read_lines(given.out)
    arms = given.arm or list(ARMS)
    for seed in range(given.seeds):
        for arm in arms:
            architecture, config, taught_by, start = plans[arm]
            key = f"{arm}-{architecture.key}-{config.train.epochs}-{seed}"
            if any(row["key"] == key for row in rows):
                continue
            metrics = train_student(
                architecture,
                data,
                config.model_copy(update={"seed": seed}),
                given.out.with_suffix("") / key,
                teacher=taught_by,
                inherited=start,
            )
            rows.append({"key": key, "arm": arm, "seed": seed, "network": architecture.key})
            rows[-1] |= results(metrics)
            write_lines(given.out, rows)
            print(arm, seed, f"{metrics['test']['f1']:.4f}", flush=True)
    keys = {f"{arm}-{plans[arm][0].key}-{plans[arm][1].train.epochs}" for arm in arms}
    mine = [row for row in rows if row["key"].rpartition("-")[0] in keys]
    print(f"\n{table(mine, arms)}\n")
    networks = {arm: build(plans[arm][0], data.num_classes) for arm in arms if arm != "scratch"}
    sides = {arm: plans[arm][0].resolution for arm in networks}
    whole = teachers[given.epochs].ensemble.members[0]
    print(costs({"teacher": whole.model, **networks}, {"teacher": whole.resolution, **sides}))


def uniform(base: Architecture, like: Architecture, num_classes: int) -> Architecture:
    """Return ``base`` cut by one share everywhere, with as many MACs as ``like``.

    One share of all expansions, whole streams, each stage of more than two blocks without its last.
    """
    left_out = {of[-1] for of in stages_of(base.layers) if len(of) > 2}
    wanted = cost(like, num_classes).macs

    def at(share: float) -> Architecture:
        layers = [
            replace(layer, hidden=make_divisible(layer.hidden * share))
            if isinstance(layer, InvertedResidual) and layer.hidden
            else layer
            for index, layer in enumerate(base.layers)
            if index not in left_out
        ]
        return replace(base, layers=tuple(layers))

    shares = [step / 100 for step in range(2, 101)]
    return min(map(at, shares), key=lambda cut: abs(cost(cut, num_classes).macs - wanted))


def costs(networks: dict[str, nn.Module], sides: dict[str, int]) -> str:
    """Return a table of parameters and latencies."""
    timed = measure_in_turns([(network.eval(), sides[name]) for name, network in networks.items()])
    lines = ["| | params | latency (IQR) | of the teacher's |", "|---|---|---|---|"]
    whole = timed[list(networks).index("teacher")].median_ms
    for (name, network), took in zip(networks.items(), timed, strict=True):
        params = sum(weight.numel() for weight in network.parameters()) / 1e3
        share = took.median_ms / whole
        lines.append(
            f"| {name} | {params:.0f} k | {took.median_ms:.2f} ({took.iqr_ms:.2f}) ms | {share:.3f} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
