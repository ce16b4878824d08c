"""Rank correlation of an evaluator's scores with the F1 of networks that were trained."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import NonNegativeFloat, PositiveFloat, ValidationError
from scipy.stats import kendalltau

import nas.executors
import nas.spaces
from core.config import INHERITED_RATE, SearchConfig, StrategyConfig, StudentConfig, TrainConfig
from core.config_io import SettingError, merged, read_config
from core.errors import UserError
from core.files import write_lines
from core.locks import locked_file
from core.reading import first_fault, read_lines
from minnow.data_set import open_data
from minnow.evaluator_settings import resolve_evaluator
from minnow.evaluators import InheritEvaluator
from minnow.listener import Listener
from minnow.permission import check_code
from minnow.search_setup import make_space
from minnow.starting_weights import judging_weights
from minnow.student_work import StudentWork, trained_on
from minnow.teacher import make_teacher
from nas.architecture import Architecture
from nas.cost import cost
from nas.executors import HERE, Placement
from nas.objectives import COSTS, Objective, Objectives, parse_limit
from nas.spaces import SearchSpace
from nas.spaces.elastic import Elastic
from nas.strategies.base import SpaceExhausted
from nas.strategies.random import RandomSearch
from nas.trial import Proposal
from training.budget import resolve_student
from training.bundle_files import CONFIG_FILE
from training.fit import Progress
from training.score_record import Count, Share, StoredRecord

FILE = "ranking.jsonl"
_JUDGED = ("f1", "params", "macs", "latency_ms", "seconds")  # what does not depend on the training
_FEWEST = 3  # networks that can be ranked
_CANDIDATES = 8  # drawn per network that is taken, so that these are spread over the sizes
_RESAMPLES = 5_000
_REMEDY = "delete that line to evaluate its network again"


class _Row(StoredRecord):
    """One training of one network."""

    network: str
    whole: str
    epochs: Count
    seed: Count
    f1: Share
    params: NonNegativeFloat
    macs: NonNegativeFloat
    latency_ms: PositiveFloat
    seconds: NonNegativeFloat
    trained_seconds: PositiveFloat
    val_f1: Share
    test_f1: Share


@dataclass(frozen=True)
class Ranking:
    """The networks to compare, and how they are trained.

    Attributes:
        run: of a search in the space elastic.
        networks: number of networks.
        epochs: length of each training.
        trainings: trainings of each network, with seeds from 1 on; their mean is the truth.
        limits: limits of the networks; those of the search do not apply.
        seed: of the drawing.
        code: dotted settings of the search that the caller names, too, see :mod:`minnow.permission`.
        placement: where the networks are trained; they are judged here.
    """

    run: Path
    networks: int
    epochs: int
    trainings: int = 1
    limits: tuple[str, ...] = ()
    seed: int = 0
    code: Mapping[str, Any] = field(default_factory=dict)
    placement: Placement = HERE


def rank(job: Ranking, listener: Listener) -> list[dict[str, Any]]:
    """Evaluate and train the networks that have no line in ``RUN/ranking.jsonl`` yet; return all rows.

    Raises:
        UserError: the run is no search in the space elastic, or has no supernet; its settings name code
            that the caller does not; or it is being ranked by another process.
    """
    config = _settings(job)
    busy = f"{job.run} is being ranked by another process; wait for it"
    with locked_file(job.run / f".{FILE}.lock", busy):
        return _rank(job, config, listener)


def _rank(job: Ranking, config: SearchConfig, listener: Listener) -> list[dict[str, Any]]:
    nas.executors.check(job.placement.executor)
    kind = nas.spaces.load(config.space.name)
    config = resolve_evaluator(config, kind)
    if config.teacher is None or config.evaluator == "train":
        raise UserError(f"{job.run} judges networks by training them: there is nothing to compare")
    data = open_data(config.data, listener)
    space = make_space(kind, config, data.size)
    student = StudentConfig(
        data=config.data,
        teacher=config.teacher,
        train=TrainConfig(epochs=job.epochs, learning_rate=INHERITED_RATE),
        augment=config.augment,
    )
    student = resolve_student(student, len(data.learned))
    views = min(student.train.view_count, job.epochs)
    teacher, data = make_teacher(
        config.teacher, student.loss, data, student.augment, views, listener=listener
    )
    whole = judging_weights(config, teacher, data, job.run, listener)
    judge, digest = InheritEvaluator(data, config, whole, teacher.outputs), whole.digest
    path = job.run / FILE
    rows = read_rows(path)
    networks = _spread(space, job, data.num_classes)
    trainings = [
        Proposal(number, (), network, seed)
        for number, (network, seed) in enumerate(product(networks, range(1, job.trainings + 1)))
    ]

    def name(training: Proposal) -> dict[str, Any]:
        of = {"network": training.architecture.key, "whole": digest}
        return {**of, "epochs": job.epochs, "seed": training.seed}

    left = [
        training for training in trainings if not any(r.items() >= name(training).items() for r in rows)
    ]
    work = _RankingWork(networks[0], student, data, teacher, whole, job.run, report=_reporting(listener))
    for trial in trained_on(job.placement, work, left, listener, what="training"):
        wanted, metrics = name(trial.proposal), trial.metrics or {}
        of = {key: wanted[key] for key in ("network", "whole")}
        known = (_of(row, _JUDGED) for row in rows if row.items() >= of.items())
        judged = next(known, None) or _judge(judge, trial.proposal)
        rows.append(
            {
                **wanted,
                **judged,
                "trained_seconds": metrics["seconds"],
                "val_f1": metrics["f1"],
                "test_f1": metrics["test_f1"],
            }
        )
        write_lines(path, rows)
    keys = {network.key for network in networks}
    rows = [row for row in rows if row["network"] in keys and row["whole"] == digest]
    rows = [row for row in rows if row["epochs"] == job.epochs and row["seed"] <= job.trainings]
    return rows


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Return the trainings in a file that :func:`rank` wrote, without those of earlier versions.

    Raises:
        UserError: it is damaged; names the line and the entry.
    """
    rows = []
    for number, row in enumerate(read_lines(path, remedy=_REMEDY), start=1):
        if not row.keys() >= {*_JUDGED, "seed", "whole"}:
            continue
        try:
            _Row.model_validate(row)
        except ValidationError as error:
            reason = ": ".join((f"line {number}", *first_fault(error)))
            raise UserError(f"{path} is damaged: {reason}; {_REMEDY}") from None
        rows.append(row)
    return rows


def _settings(job: Ranking) -> SearchConfig:
    """Return the settings of the search.

    Raises:
        SettingError: the caller names other code, or the settings name code and the caller does not.
    """
    config = read_config(SearchConfig, job.run / CONFIG_FILE)
    for name, value in job.code.items():
        if merged(SearchConfig, config, {name: value}) != config:
            raise SettingError(name, f"{job.run} was searched with another one; leave this setting out")
    # No strategy runs here, and nothing is tracked.
    used = config.model_copy(update={"strategy": StrategyConfig(), "trackers": ()})
    check_code(used, job.code, [(job.run / CONFIG_FILE, used)])
    return config


def _judge(judge: InheritEvaluator, proposal: Proposal) -> dict[str, float]:
    started = time.perf_counter()
    metrics = judge(proposal)
    return _of({**metrics, "seconds": time.perf_counter() - started}, _JUDGED)


class _RankingWork(StudentWork):
    """The trainings of the networks."""

    def folder(self, proposal: Proposal) -> Path:
        return self.run / "ranking" / f"{proposal.architecture.key}-{proposal.seed}"


def _reporting(listener: Listener) -> Callable[[Proposal, Progress], None]:
    return lambda proposal, progress: listener.training(f"training {proposal.number}", progress)


def _of(row: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    return {name: row[name] for name in names}


class _AllSizes(RandomSearch):
    """Networks of all sizes."""

    space: Elastic

    def propose(self, rng: np.random.Generator) -> Sequence[int]:
        return self.space.spread(rng)


def _spread(space: SearchSpace, job: Ranking, num_classes: int) -> list[Architecture]:
    """Return networks within the limits, evenly spread over the ranks of their MACs.

    Raises:
        UserError: the space has no more than two within the limits.
    """
    within = tuple(parse_limit(limit, known=COSTS) for limit in job.limits)
    objectives = Objectives((Objective("f1", maximize=True),), within)
    strategy = _AllSizes(space, objectives, seed=job.seed, num_classes=num_classes)
    drawn: list[Architecture] = []
    with contextlib.suppress(SpaceExhausted):
        while len(drawn) < _CANDIDATES * job.networks:
            drawn.append(strategy.ask().architecture)
    if len(drawn) < _FEWEST:
        limits = ", ".join(job.limits)
        raise UserError(f"only {len(drawn)} networks of the space are within {limits}; loosen the limit")
    drawn.sort(key=lambda network: cost(network, num_classes).macs)
    count = min(job.networks, len(drawn))
    return [drawn[(2 * turn + 1) * len(drawn) // (2 * count)] for turn in range(count)]


@dataclass(frozen=True)
class Tau:
    """Kendall's rank correlation, with the 5 % and 95 % quantiles of its bootstrap over networks.

    Attributes:
        value: tau-b (Kendall 1945), -1 to 1; NaN where one list is constant.
        low: 5 % quantile.
        high: 95 % quantile.
        n: networks.
    """

    value: float
    low: float
    high: float
    n: int

    def __str__(self) -> str:
        return f"{self.value:.2f} ({self.low:.2f} to {self.high:.2f})"


def tau(scores: Sequence[float], truth: Sequence[float], *, seed: int = 0) -> Tau:
    """Return Kendall's tau between two lists of scores of the same networks, with its interval.

    Raises:
        ValueError: they differ in length, or hold fewer than two networks.
    """
    if len(scores) != len(truth) or len(scores) < 2:
        raise ValueError(f"needs two lists of the same two or more networks: {len(scores)}, {len(truth)}")
    a, b = np.asarray(scores, dtype=float), np.asarray(truth, dtype=float)
    rng = np.random.default_rng(seed)
    counts = rng.multinomial(len(a), np.full(len(a), 1 / len(a)), size=_RESAMPLES)
    resampled = _resampled_tau(a, b, counts.astype(float))
    ranked = resampled[~np.isnan(resampled)]
    low, high = np.quantile(ranked, (0.05, 0.95)) if len(ranked) else (np.nan, np.nan)
    return Tau(float(kendalltau(a, b).statistic), float(low), float(high), len(a))


def _resampled_tau(
    a: NDArray[np.float64], b: NDArray[np.float64], counts: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return tau-b of resamples, ``(R,)``; NaN where all of a list is tied.

    Args:
        a: ``(n,)`` scores.
        b: ``(n,)`` scores of the same networks.
        counts: ``(R, n)``: how often each network is in each resample. A network is tied with itself.
    """
    signs = [np.sign(scores[:, None] - scores) for scores in (a, b)]
    pairs = (signs[0] * signs[1], np.abs(signs[0]), np.abs(signs[1]))
    agreeing, untied_a, untied_b = (((counts @ each) * counts).sum(axis=1) for each in pairs)
    with np.errstate(invalid="ignore"):
        return np.asarray(agreeing / np.sqrt(untied_a * untied_b), dtype=np.float64)


def better_half(scores: Sequence[float], truth: Sequence[float]) -> tuple[list[float], list[float]]:
    """Return both lists without the networks in the worse half by true score."""
    kept = np.argsort(-np.asarray(truth), kind="stable")[: (len(truth) + 1) // 2]
    return [scores[i] for i in kept], [truth[i] for i in kept]


def agreement(scores: np.ndarray, truth: np.ndarray) -> float:
    """Return the mean rank correlation (Kendall's tau) of one training with the mean of the others.

    What it lacks to 1 is noise, which no evaluator can rank.

    Args:
        scores: ``(networks, trainings)``; one training's column is compared.
        truth: ``(networks, trainings)``; with the mean of the other trainings' columns.

    Raises:
        ValueError: they differ in shape, or have fewer than two networks or trainings.
    """
    if scores.shape != truth.shape or scores.ndim != 2 or min(scores.shape) < 2:
        raise ValueError(f"needs two or more networks and trainings: {scores.shape}, {truth.shape}")
    others = [np.delete(truth, one, axis=1).mean(axis=1) for one in range(truth.shape[1])]
    return float(np.mean([kendalltau(scores[:, i], other).statistic for i, other in enumerate(others)]))
