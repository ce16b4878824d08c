"""``bench ranking``: whether an evaluator ranks networks as training each of them would."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich import box
from rich.table import Table

import nas.spaces
from core.config import INHERITED_RATE, SearchConfig, StudentConfig, TrainConfig
from core.config_io import read_config
from core.errors import UserError
from core.formats import read_lines, write_lines
from distill.inherited_weights import Inheritance, from_teacher
from distill.prepared_teacher import Taught
from distill.student_training import train_student
from distill.supernet import find_supernet
from minnow.console import interruptible, output, say, warn
from minnow.data_run import open_data
from minnow.evaluators import InheritEvaluator
from minnow.inheriting import with_evaluator
from minnow.progress import TrainingDisplay
from minnow.runs import CONFIG
from minnow.spaces import make_space
from minnow.teaching import teach
from nas.bench.rank_correlation import agreement, better_half, tau
from nas.cost import cost
from nas.objectives import COSTS, Objective, Objectives, parse_limit
from nas.spaces import SearchSpace
from nas.spaces.elastic import Elastic
from nas.strategies.random import RandomSearch
from nas.trial import Proposal
from training.budget import settled
from training.data.images import ImageSet

FILE = "ranking.jsonl"
_JUDGED = ("f1", "params", "macs", "latency_ms", "seconds")  # what does not depend on the training
_CANDIDATES = 8  # drawn per network that is taken, so that these are spread over the sizes


@dataclass(frozen=True)
class Ranking:
    """What is compared.

    Attributes:
        run: of a search in the space elastic.
        networks: how many.
        epochs: of training each.
        trainings: of each network, with seeds from 1 on; their mean is the truth.
        limits: on the networks; none of the search's apply.
        seed: of drawing them.
    """

    run: Path
    networks: int
    epochs: int
    trainings: int = 1
    limits: tuple[str, ...] = ()
    seed: int = 0


def rank(job: Ranking) -> list[dict[str, Any]]:
    """Evaluate and train what has no line in ``RUN/ranking.jsonl`` yet; print how the two agree.

    Raises:
        UserError: the run is no search in the space elastic, or has no supernet.
    """
    config = read_config(SearchConfig, job.run / CONFIG)
    kind = nas.spaces.load(config.space.name)
    config = with_evaluator(config, kind)
    if config.teacher is None or config.evaluator == "train":
        raise UserError(f"{job.run} judges networks by training them: there is nothing to compare")
    data = open_data(config.data)
    space = make_space(kind, config, data.size)
    student = StudentConfig(
        data=config.data,
        teacher=config.teacher,
        train=TrainConfig(epochs=job.epochs, learning_rate=INHERITED_RATE),
        augment=config.augment,
    )
    student = settled(student, len(data.splits["train"]))
    views = min(student.train.views, job.epochs)
    taught = teach(config.teacher, student.loss, data, student.augment, views)
    if config.evaluator == "inherit":
        whole: Inheritance | None = from_teacher(taught.teacher, data, config.space.importance)
    else:
        whole = find_supernet(job.run)
    if whole is None:
        raise UserError(f"{job.run} holds no finished supernet; resume its search first")
    judge, digest = InheritEvaluator(data, config, whole, taught.outputs), whole.digest
    path = job.run / FILE
    rows = [row for row in read_lines(path) if row.keys() >= {*_JUDGED, "seed", "whole"}]
    proposals = _spread(space, job, data.num_classes)
    with interruptible("bench", "ranking", job.run):
        for proposal in proposals:
            of = {"network": proposal.architecture.key, "whole": digest}
            judged = next((_of(row, _JUDGED) for row in rows if row.items() >= of.items()), None)
            for seed in range(1, job.trainings + 1):
                name = {**of, "epochs": job.epochs, "seed": seed}
                if any(row.items() >= name.items() for row in rows):
                    continue
                judged = judged or _judge(judge, proposal)
                trained = _train(
                    proposal, whole, taught, student.model_copy(update={"seed": seed}), data, job
                )
                rows.append({**name, **judged, **trained})
                write_lines(path, rows)
    keys = {proposal.architecture.key for proposal in proposals}
    rows = [row for row in rows if row["network"] in keys and row["whole"] == digest]
    rows = [row for row in rows if row["epochs"] == job.epochs and row["seed"] <= job.trainings]
    output().print(_table(rows, job))
    say(f"every training in {path}")
    return rows


def _judge(judge: InheritEvaluator, proposal: Proposal) -> dict[str, float]:
    started = time.perf_counter()
    metrics = judge(proposal)
    return _of({**metrics, "seconds": time.perf_counter() - started}, _JUDGED)


def _train(
    proposal: Proposal,
    whole: Inheritance,
    taught: Taught,
    student: StudentConfig,
    data: ImageSet,
    job: Ranking,
) -> dict[str, float]:
    architecture = proposal.architecture
    with TrainingDisplay(f"network {proposal.number}") as display:
        trained = train_student(
            architecture,
            data,
            student,
            job.run / "ranking" / f"{architecture.key}-{student.seed}",
            taught=taught,
            inheritance=whole,
            warn=warn,
            report=display,
        )
    return {
        "trained_seconds": trained["seconds"],
        "val_f1": trained["val"]["f1"],
        "test_f1": trained["test"]["f1"],
    }


def _of(row: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    return {name: row[name] for name in names}


class _AllSizes(RandomSearch):
    """Networks of all sizes."""

    space: Elastic

    def propose(self, rng: np.random.Generator) -> Sequence[int]:
        return self.space.spread(rng)


def _spread(space: SearchSpace, job: Ranking, num_classes: int) -> list[Proposal]:
    """Networks within the limits, evenly spread over the ranks of their MACs."""
    limits = tuple(parse_limit(limit, known=COSTS) for limit in job.limits)
    objectives = Objectives((Objective("f1", maximize=True),), limits)
    strategy = _AllSizes(space, objectives, seed=job.seed, num_classes=num_classes)
    drawn = [strategy.ask() for _ in range(_CANDIDATES * job.networks)]
    drawn.sort(key=lambda proposal: cost(proposal.architecture, num_classes).macs)
    return drawn[_CANDIDATES // 2 :: _CANDIDATES]


def _table(rows: Sequence[Mapping[str, Any]], job: Ranking) -> Table:
    """Rank correlations with the F1 after training, test and validation."""
    one, ten = (statistics.median(row[name] for row in rows) for name in ("seconds", "trained_seconds"))
    networks = {row["network"]: row for row in rows}
    each = "each" if job.trainings == 1 else f"{job.trainings} trainings of each"
    title = (
        f"Kendall's tau with F1 after {job.epochs} epochs of {each} of {len(networks)} networks "
        f"(90 % interval); judging one takes {one:.1f} s, training it {ten:.0f} s (1/{ten / one:.0f})"
    )
    table = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left")
    for column in ("", "test F1", "test F1, better half", "validation F1"):
        table.add_column(column, justify="left" if not column else "right")
    test, val = (_by_training(rows, list(networks), name) for name in ("test_f1", "val_f1"))
    truth = test.mean(axis=1).tolist()
    for name, label in (("f1", "the evaluator"), ("macs", "MACs"), ("params", "params")):
        scores = [row[name] for row in networks.values()]
        found = [tau(scores, truth), tau(*better_half(scores, truth)), tau(scores, val.mean(axis=1))]
        table.add_row(label, *map(str, found))
    if job.trainings > 1:
        again = [f"{agreement(val, truth):.2f}" for truth in (test, val)]
        table.add_row("another training's validation F1", again[0], "", again[1])
    return table


def _by_training(rows: Sequence[Mapping[str, Any]], networks: Sequence[str], name: str) -> np.ndarray:
    """A column of the rows, ``(networks, trainings)``."""
    found = {(row["network"], row["seed"]): row[name] for row in rows}
    seeds = sorted({seed for _, seed in found})
    return np.array([[found[network, seed] for seed in seeds] for network in networks])
