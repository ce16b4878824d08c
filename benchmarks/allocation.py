"""Where the time should go: what a student gains from a supernet, and from a longer training.

Usage: python benchmarks/allocation.py RUN --out DIR [--part 8] [--networks 3] [--seeds 2]
           [--arm supernet:32 teacher:32 teacher:96]

RUN is that of ``search --space elastic`` with a supernet. Random networks at 90 to 100 % of a part of the
teacher's latency are distilled with the defaults of ``distill``, except for what an arm says: the weights
they start from (``teacher``, ``supernet``, or the folder of another supernet) and the epochs. As in
``benchmarks/pays.py``, each training leaves a line in DIR, and several processes may share the work
(``--threads 1``; ``benchmarks/allocation.sh`` does all of it). The table gives per arm the scores of the
networks before the training (validation) and after it (test), the seconds of one training, and the
difference to the first arm with a 95 % interval (paired bootstrap over the test images, all networks and
seeds in every resample).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from trained_lines import (
    begun,
    difference,
    limit_ms,
    networks_near,
    one_at_a_time,
    parser_of,
    rows_of,
    student_of,
    teacher_of,
    train_line,
)

from core.config import SearchConfig
from deploy.architecture_latency import fitted_latency
from distill.inherited_weights import InheritedWeights, inherit_from_base
from distill.supernet import SUPERNET_FOLDER, load_supernet
from minnow.run_directory import Run
from nas.architecture import Architecture
from nas.spaces.elastic import Elastic
from teachers.ensemble import PreparedTeacher
from training.data.images import ImageSet

_MEASURED = 40  # random networks that latencies are predicted from


def main() -> None:
    """Run the trainings that have no line yet, and print the table."""
    parser = parser_of(__doc__)
    parser.add_argument("--part", type=int, default=8, help="denominator of the teacher's latency")
    parser.add_argument("--networks", type=int, default=3)
    parser.add_argument("--arm", nargs="+", default=["supernet:32", "teacher:32", "teacher:96"])
    given = parser.parse_args()
    run, data, space = begun(given)
    with one_at_a_time(given.out):
        networks = _networks(space, data.num_classes, given.part, given.networks)
    for seed in range(given.seeds):
        for arm in given.arm:
            _train_arm(arm, networks, run, data, given.out, given.part, seed)
    print(f"\n{table(rows_of(given.out), given.arm, data.num_classes)}")


def _networks(space: Elastic, classes: int, part: int, count: int) -> list[tuple[Architecture, float]]:
    rng = np.random.default_rng(0)
    drawn = [space.random_subnet(rng) for _ in range(_MEASURED)]
    limit = limit_ms(space, classes, part)
    return networks_near(limit, space, classes, fitted_latency(drawn, classes), count=count, seed=part)


def _train_arm(
    arm: str,
    networks: Sequence[tuple[Architecture, float]],
    run: Run,
    data: ImageSet,
    out: Path,
    part: int,
    seed: int,
) -> None:
    start, _, epochs = arm.rpartition(":")
    label = "-".join(Path(start).parts[-2:])
    names = {network.key: f"{part}-{network.key}-{label}-{epochs}-{seed}" for network, _ in networks}
    if all((out / f"{name}.json").exists() for name in names.values()):
        return
    student = student_of(run.config, len(data.splits["train"]), epochs=int(epochs), seed=seed)
    teacher = teacher_of(student, data)
    inherited = _start(start, run.path, run.config, teacher, data)
    for network, took in networks:

        def facts(network: Architecture = network, took: float = took) -> dict[str, Any]:
            before = inherited.evaluate_subnet(network, data, run.config.augment)[1].f1
            return {"part": part, "arm": arm, "latency_ms": took, "before_f1": before}

        line = out / f"{names[network.key]}.json"
        row = train_line(line, facts, network, data, student, teacher, inherited)
        if row is not None:
            print(arm, network.key, seed, f"{row['before_f1']:.4f} {row['f1']:.4f}", flush=True)


def _start(
    name: str, run: Path, config: SearchConfig, teacher: PreparedTeacher, data: ImageSet
) -> InheritedWeights:
    if name == "teacher":
        return inherit_from_base(teacher.ensemble.members[0], data, config.space.importance)
    return load_supernet(run / SUPERNET_FOLDER if name == "supernet" else Path(name))


def table(rows: Sequence[Mapping[str, Any]], arms: Sequence[str], classes: int) -> str:
    """Return the Markdown table of all parts."""
    lines = [
        "| part | start:epochs | val before | test macro-F1 | minus the first, points (95 %) | seconds "
        "| n |",
        "|---|---|---|---|---|---|---|",
    ]
    for part in sorted({row["part"] for row in rows}):
        by_arm = {arm: _of(rows, part, arm) for arm in arms}
        for arm, its in by_arm.items():
            if not its:
                continue
            shared = {(row["network"], row["seed"]) for row in its}
            base = [row for row in by_arm[arms[0]] if (row["network"], row["seed"]) in shared]
            minus = "" if arm == arms[0] else difference([base], [its], classes)
            mean = {name: np.mean([row[name] for row in its]) for name in ("before_f1", "f1", "seconds")}
            deviation = np.std([row["f1"] for row in its], ddof=1) if len(its) > 1 else 0.0
            lines.append(
                f"| 1/{part} | {arm} | {mean['before_f1']:.3f} | {mean['f1']:.3f} ± {deviation:.3f} "
                f"| {minus} | {mean['seconds']:.0f} | {len(its)} |"
            )
    return "\n".join(lines)


def _of(rows: Sequence[Mapping[str, Any]], part: int, arm: str) -> list[Mapping[str, Any]]:
    its = [row for row in rows if row["part"] == part and row["arm"] == arm]
    return sorted(its, key=lambda row: (row["network"], row["seed"]))


if __name__ == "__main__":
    main()
