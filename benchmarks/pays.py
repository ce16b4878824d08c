"""What a search adds: its choice against other networks of the same latency, all trained alike.

Usage: python benchmarks/pays.py RUN --out DIR [--part 4 8 16 32] [--random 5] [--seeds 2]

RUN is that of ``search --space elastic``, searched under limits on the latency of 1/4, 1/8, 1/16 and
1/32 of the teacher's (``benchmarks/pays.sh``), or of the given parts. At each part the following are
distilled with the defaults of ``distill`` (without ``--epochs`` all with the length of 10 M MACs and
more), with the same seeds, from the weights that the search judged them by: those of its supernet, or of
the teacher:

    choice   the trial with the best validation F1 within the limit
    random   random networks of the space at 90 to 100 % of the limit
    macs     most MACs within the limit, of as many random networks near it as the search had trials
    uniform  the same share of every decision's range, the most within the limit

Each training leaves a line in a file of its own in DIR; trainings that have theirs are skipped, and
several processes may work on one DIR (``--threads 1``). The tables are made of all lines that are there:
macro-F1 on the test split, the choice minus the others with a 95 % interval (paired bootstrap over test
images, all seeds and networks in every resample), the standard deviation between random networks with
the noise of the seeds removed, and Kendall's tau of the validation F1 before the training with the test
F1 after it. With several DIRs after ``--pool``, of other splits of the same data, images are pooled.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import kendalltau
from trained_lines import (
    NEAR,
    begun,
    difference,
    latency,
    limit_ms,
    networks_near,
    one_at_a_time,
    parser_of,
    random_networks_near,
    rows_of,
    student_of,
    teacher_of,
    train_line,
)

from core.errors import UserError
from deploy.architecture_latency import fitted_latency
from minnow.progress import ConsoleListener
from minnow.run_directory import Run
from minnow.starting_weights import judging_weights
from nas.architecture import Architecture
from nas.cost import cost
from nas.objectives import Objectives
from nas.spaces.elastic import Elastic
from nas.trial import Trial
from training.data.images import ImageSet

ARMS = ("choice", "random", "macs", "uniform")
_STEPS = 200  # of the share of a uniform cut


@dataclass(frozen=True)
class Rival:
    """A network to train.

    Attributes:
        part: denominator of the teacher's latency.
        arm: one of :data:`ARMS`.
        architecture: of the network.
        latency_ms: measured before training.
    """

    part: int
    arm: str
    architecture: Architecture
    latency_ms: float


def main() -> None:
    """Run the trainings that have no line yet, and print the tables."""
    parser = parser_of(__doc__)
    parser.add_argument("--part", type=int, nargs="+", default=[4, 8, 16, 32])
    parser.add_argument("--random", type=int, default=5, help="random networks at each part")
    parser.add_argument("--epochs", type=int, help="as of distill --epochs")
    parser.add_argument("--pool", type=Path, nargs="*", default=[], help="other DIRs for the tables")
    given = parser.parse_args()
    run, data, space = begun(given)
    with one_at_a_time(given.out):
        rivals = [
            rival
            for part in given.part
            for rival in rivals_of(part, run.trials, space, data, given.random)
        ]
    train_all(rivals, run, data, given.out, given.seeds, given.epochs)
    rows = [row for folder in (given.out, *given.pool) for row in rows_of(folder)]
    for epochs in sorted({row["epochs"] for row in rows}):
        own = [row for row in rows if row["epochs"] == epochs]
        print(f"\n{epochs} epochs\n\n{table(own, data.num_classes)}")


def rivals_of(
    part: int, trials: Sequence[Trial], space: Elastic, data: ImageSet, count: int
) -> list[Rival]:
    """Return the networks of one part; the same ones every time."""
    classes = data.num_classes
    limit = limit_ms(space, classes, part)
    within = Objectives.parse(["f1:max"], [f"latency_ms<={limit}"])
    choice = within.best(trials)
    if choice is None:
        raise SystemExit(f"no trial has {limit:.3f} ms or less; search within it first")
    predictor = fitted_latency([trial.architecture for trial in trials if trial.completed], classes)
    networks = networks_near(limit, space, classes, predictor, count=count, seed=part)
    if len(networks) < count:
        raise SystemExit(f"only {len(networks)} random networks have nearly {limit:.3f} ms")
    many = random_networks_near(limit, space, predictor, count=len(trials), seed=part)
    heaviest = within_limit(sorted(many, key=lambda one: -cost(one, classes).macs), limit, classes)
    cuts = (cut for cut in uniform_cuts(space) if predictor.predict([cut])[0] <= NEAR * limit)
    return [
        Rival(part, "choice", choice.architecture, (choice.metrics or {})["latency_ms"]),
        *(Rival(part, "random", *network) for network in networks[:count]),
        Rival(part, "macs", *heaviest),
        Rival(part, "uniform", *within_limit(cuts, limit, classes)),
    ]


def within_limit(
    networks: Iterable[Architecture], limit: float, classes: int
) -> tuple[Architecture, float]:
    """Return the first network within a latency in ms, and its own."""
    return next((one, took) for one in networks if (took := latency(one, classes)) <= limit)


def uniform_cuts(space: Elastic) -> Iterator[Architecture]:
    """Yield the networks that keep the same share of every decision's range, the largest first."""
    ends, last = np.array(space.largest), None
    for share in np.linspace(1, 0, _STEPS):
        cut = space.decode(space.canonical(np.rint(share * ends).astype(int).tolist()))
        if cut.key != last:
            yield cut
        last = cut.key


def train_all(
    rivals: Sequence[Rival],
    run: Run,
    data: ImageSet,
    out: Path,
    seeds: int,
    epochs: int | None,
) -> None:
    """Train what has no line yet and no other process trains."""
    images = len(data.splits["train"])
    student = student_of(run.config, images, epochs=epochs, seed=0)
    teacher = teacher_of(student, data)
    inherited = judging_weights(run.config, teacher, data, run.path, ConsoleListener())

    @cache
    def judged(architecture: Architecture) -> float:
        return inherited.evaluate_subnet(architecture, data, run.config.augment)[1].f1

    for seed in range(seeds):
        seeded = student.model_copy(update={"seed": seed})
        for rival in rivals:
            network = rival.architecture

            def facts(rival: Rival = rival) -> dict[str, Any]:
                return {
                    "part": rival.part,
                    "arm": rival.arm,
                    "latency_ms": rival.latency_ms,
                    "before_f1": judged(rival.architecture),
                }

            name = f"{rival.part}-{rival.arm}-{network.key}-{student.train.epochs}-{seed}.json"
            row = train_line(out / name, facts, network, data, seeded, teacher, inherited)
            if row is not None:
                scores = f"{row['before_f1']:.4f} {row['f1']:.4f}"
                print(rival.part, rival.arm, seed, scores, flush=True)


def table(rows: Sequence[Mapping[str, Any]], classes: int) -> str:
    """Return the Markdown tables of all parts."""
    lines = [
        "| part | network | latency, ms | F1 before | test macro-F1 | choice minus it (95 %) | n |",
        "|---|---|---|---|---|---|---|",
    ]
    notes: list[str] = []
    for part in sorted({row["part"] for row in rows}):
        own = [row for row in rows if row["part"] == part]
        for arm in ARMS:
            its = [row for row in own if row["arm"] == arm]
            if its:
                lines.append(_line(part, arm, its, own, classes))
        for split in dict.fromkeys(row["test_images"] for row in own):
            notes += _landscape(part, [row for row in own if row["test_images"] == split])
    return "\n".join([*lines, "", *notes])


def _line(
    part: int,
    arm: str,
    its: Sequence[Mapping[str, Any]],
    own: Sequence[Mapping[str, Any]],
    classes: int,
) -> str:
    mean = {name: np.mean([row[name] for row in its]) for name in ("latency_ms", "before_f1", "f1")}
    deviation = np.std([row["f1"] for row in its], ddof=1) if len(its) > 1 else 0.0
    minus = "" if arm == "choice" else _minus(own, arm, classes)
    return (
        f"| 1/{part} | {arm} | {mean['latency_ms']:.2f} | {mean['before_f1']:.3f} "
        f"| {mean['f1']:.3f} ± {deviation:.3f} | {minus} | {len(its)} |"
    )


def _minus(own: Sequence[Mapping[str, Any]], arm: str, classes: int) -> str:
    """Return the choice minus an arm, over the pooled images of all splits."""
    by_split: dict[str, dict[str, list[Mapping[str, Any]]]] = defaultdict(lambda: defaultdict(list))
    for row in own:
        by_split[row["test_images"]][row["arm"]].append(row)
    splits = list(by_split.values())
    return difference([split[arm] for split in splits], [split["choice"] for split in splits], classes)


def _landscape(part: int, rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yield how different the networks of one latency and split are, and how well they are ranked."""
    networks: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for row in {(row["network"], row["seed"]): row for row in reversed(rows)}.values():
        networks[row["network"]].append(row)
    repeated = [[row["f1"] for row in its] for its in networks.values()]
    noise = [np.var(its, ddof=1) for its in repeated if len(its) > 1]
    drawn = {row["network"] for row in rows if row["arm"] == "random"}
    random = [its for name, its in networks.items() if name in drawn]
    if len(random) > 1 and noise:
        means = [np.mean([row["f1"] for row in its]) for its in random]
        of_mean = np.mean([np.mean(noise) / len(its) for its in random])
        true = max(0.0, float(np.var(means, ddof=1) - of_mean)) ** 0.5
        yield (
            f"1/{part}: random networks differ by {100 * true:.1f} points (standard deviation), "
            f"seeds of one network by {100 * float(np.mean(noise)) ** 0.5:.1f}"
        )
    if len(networks) > 2:
        judged = [its[0]["before_f1"] for its in networks.values()]
        truth = [np.mean(its) for its in repeated]
        macs = [its[0]["macs"] for its in networks.values()]
        taus = [kendalltau(guess, truth).statistic for guess in (judged, macs)]
        yield (
            f"1/{part}: tau with the test F1 of {len(networks)} networks: F1 before {taus[0]:.2f}, "
            f"MACs {taus[1]:.2f}"
        )


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        raise SystemExit(str(error)) from None
