"""Students of the elastic space against pruning the same teacher to the same multiply-adds.

Usage: python benchmarks/pruning.py RUN --out DIR [--part 8] [--random 2] [--seeds 2] [--stages 8]

RUN is that of ``search --space elastic`` with its supernet, searched within a part of the latency of its
teacher (``benchmarks/pruning.sh``). The networks of ``benchmarks/pays.py`` for that part, the search's
choice and random ones, are distilled from the supernet's weights with the defaults of ``distill``;
without ``--epochs`` all with the length of 10 M MACs and more.

Against them the fine-tuned teacher is pruned with Torch-Pruning (Fang et al. 2023, "DepGraph: Towards Any
Structural Pruning"; group Taylor importance, widths that are multiples of 8, the classifier kept) to the
MACs of the largest of these networks: at the teacher's resolution and at each of theirs, with channels
ranked within a layer (local), over all layers (global) and over layers alike (isomorphic). It is pruned
in stages of equal factors, with an epoch of distillation between them; the other epochs follow the last
stage. Epochs in all, order and views of the images, the teacher's outputs, loss, recipe, choice of the
epoch on validation and adjustment to the classes are those of the students. ``--pruned-epochs`` gives
pruning more epochs, as the students start from a supernet that was trained, too.

Each training leaves a line in DIR; trainings that have theirs are skipped, and several processes may
share the work (``--threads 1``). The table has the choice minus each arm in points of test macro-F1 with
a 95 % interval (paired bootstrap over test images, all seeds in every resample), and names the pruned arm
with the best validation F1, which is the one that a user would ship.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pays import Rival, rivals_of
from pruned_teacher import RANKINGS, PruningPlan, train_pruned
from trained_lines import (
    begun,
    claimed,
    difference,
    one_at_a_time,
    parser_of,
    rows_of,
    student_of,
    teacher_of,
    train_line,
)

from core.config import StudentConfig
from core.files import write_json
from distill.supernet import find_supernet
from minnow.run_directory import Run
from nas.cost import cost
from training.data.images import ImageSet

OURS = ("choice", "random")
_MEANS = ("macs", "params", "latency_ms", "val_f1", "f1", "seconds")


def main() -> None:
    """Run the trainings that have no line yet, and print the table."""
    parser = parser_of(__doc__)
    parser.add_argument("--part", type=int, default=8, help="denominator of the teacher's latency")
    parser.add_argument("--random", type=int, default=2, help="random networks beside the choice")
    parser.add_argument("--epochs", type=int, help="as of distill --epochs")
    parser.add_argument("--pruned-epochs", type=int, help="of the pruned teachers (as many)")
    parser.add_argument("--stages", type=int, default=8, help="of pruning")
    parser.add_argument("--rank", nargs="+", choices=RANKINGS, default=RANKINGS)
    given = parser.parse_args()
    run, data, space = begun(given)
    with one_at_a_time(given.out):
        rivals = rivals_of(given.part, run.trials, space, data, given.random)
    ours = [rival for rival in rivals if rival.arm in OURS]
    for seed in range(given.seeds):
        student = student_of(run.config, len(data.splits["train"]), epochs=given.epochs, seed=seed)
        _train_ours(ours, run, data, student, given.out)
        longer = given.pruned_epochs or student.train.epochs
        student = student_of(run.config, len(data.splits["train"]), epochs=longer, seed=seed)
        _train_pruned(ours, given.rank, given.stages, data, student, given.out)
    print(f"\n{table(rows_of(given.out), given.part, data.num_classes)}")


def _train_ours(
    rivals: Sequence[Rival], run: Run, data: ImageSet, student: StudentConfig, out: Path
) -> None:
    supernet, teacher = find_supernet(run.path), teacher_of(student, data)
    if supernet is None:
        raise SystemExit(f"{run.path} has no supernet")
    for rival in rivals:

        def facts(rival: Rival = rival) -> dict[str, Any]:
            return {"part": rival.part, "arm": rival.arm, "latency_ms": rival.latency_ms}

        key = f"{rival.architecture.key}-{student.train.epochs}-{student.seed}"
        line = out / f"{rival.part}-{rival.arm}-{key}.json"
        _say(train_line(line, facts, rival.architecture, data, student, teacher, supernet))


def _train_pruned(
    rivals: Sequence[Rival],
    rankings: Sequence[str],
    stages: int,
    data: ImageSet,
    student: StudentConfig,
    out: Path,
) -> None:
    """Prune to the MACs of the largest of ``rivals`` at every resolution in question."""
    teacher, part = teacher_of(student, data), rivals[0].part
    macs = max(cost(rival.architecture, data.num_classes).macs for rival in rivals)
    own = teacher.ensemble.members[0].resolution
    sides = sorted({own, *(rival.architecture.resolution for rival in rivals)})
    for ranking, side in itertools.product(rankings, sides):
        name = f"{part}-{ranking}-{side}-{stages}-{macs}-{student.train.epochs}-{student.seed}"
        line = out / f"{name}.json"
        work = out / "trainings" / name
        with claimed(line, work) as free:
            if free:
                plan = PruningPlan(ranking, side, macs, stages)
                trained = train_pruned(plan, data, student, teacher, work)
                row = {"part": part, "arm": f"pruned, {ranking}", **trained}
                write_json(line, row)
                _say(row)


def _say(row: Mapping[str, Any] | None) -> None:
    if row is not None:
        print(
            row["arm"],
            row["resolution"],
            row["seed"],
            f"{row['macs'] / 1e6:.1f} M {row['f1']:.4f}",
            flush=True,
        )


def table(rows: Sequence[Mapping[str, Any]], part: int, classes: int) -> str:
    """Return the Markdown table of a part, and a line on the pruned arm that validates best."""
    arms: dict[tuple[str, str, int], list[Mapping[str, Any]]] = defaultdict(list)
    for row in sorted(rows, key=lambda row: row["seed"]):
        if row["part"] == part:
            side = "" if row["arm"] == "random" else str(row["resolution"])  # of several sizes
            arms[row["arm"], side, row["epochs"]].append(row)
    lines = [
        "| network | px | epochs | MACs | params | latency, ms | validation | test macro-F1 "
        "| choice minus it, points (95 %) | seconds | n |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    choices = [row for (arm, *_), its in arms.items() if arm == "choice" for row in its]
    minus = {
        key: "" if key[0] == "choice" else difference([its], [choices], classes)
        for key, its in sorted(arms.items())
    }
    for (arm, side, epochs), its in sorted(arms.items()):
        mean = {name: float(np.mean([row[name] for row in its])) for name in _MEANS}
        deviation = np.std([row["f1"] for row in its], ddof=1) if len(its) > 1 else 0.0
        lines.append(
            f"| {arm} | {side} | {epochs} | {mean['macs'] / 1e6:.1f} M | {mean['params'] / 1e3:.0f} k "
            f"| {mean['latency_ms']:.2f} | {mean['val_f1']:.3f} | {mean['f1']:.3f} ± {deviation:.3f} "
            f"| {minus[arm, side, epochs]} | {mean['seconds']:.0f} | {len(its)} |"
        )
    pruned = [key for key in arms if key[0] not in OURS]
    if pruned:
        best = max(pruned, key=lambda key: np.mean([row["val_f1"] for row in arms[key]]))
        arm, side, epochs = best
        shown = f"{arm}, {side} px, {epochs} epochs"
        lines += ["", f"best pruned on validation: {shown}; choice minus it {minus[best] or 'unknown'}"]
    teachers = {row["teacher_f1"] for its in arms.values() for row in its}
    return "\n".join([*lines, *(f"teacher: {f1:.3f}" for f1 in sorted(teachers))])


if __name__ == "__main__":
    main()
