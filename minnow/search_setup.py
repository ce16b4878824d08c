"""The parts of a search, made from its settings: evaluator, space, strategy, scheduler, identity."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from inspect import signature
from typing import Any

from core.config import SearchConfig, SpaceConfig, StrategyConfig
from core.errors import UserError
from deploy.architecture_latency import LatencyProbe, measure_architecture
from distill.prepared_teacher import PreparedTeacher
from nas.architecture import Architecture
from nas.networks.describe import describe
from nas.objectives import Objectives
from nas.spaces import SearchSpace
from nas.spaces.elastic import Elastic
from nas.strategies.base import Strategy
from nas.strategies.options import options_of
from teachers import find_pretrained
from teachers.ensemble import parse_spec
from training.data.images import ImageSet

_RESOLUTION_SHARES = (0.5, 0.625, 0.75, 0.875, 1.0)  # of the stored side


def resolve_evaluator(config: SearchConfig, space: type[SearchSpace]) -> SearchConfig:
    """Return the settings with their evaluator decided.

    Raises:
        UserError: the evaluator does not go with the space, the fidelity or the missing teacher.
    """
    elastic = issubclass(space, Elastic)
    if not elastic and config.space.importance != SpaceConfig().importance:
        raise UserError(
            f"space.importance orders inherited channels, and {config.space.name} inherits none; "
            "leave it out, or choose the space elastic"
        )
    evaluator = config.evaluator or ("supernet" if elastic else "train")
    if evaluator != "train":
        if not elastic:
            raise UserError(
                f"evaluator {evaluator} needs weights to inherit, and {config.space.name} has none; "
                "choose the space elastic, or the evaluator train"
            )
        if config.teacher is None:
            raise UserError(
                "the space elastic cuts its networks out of a teacher: give a teacher, "
                "for instance tf_efficientnet_lite0"
            )
        if config.fidelity != "full":
            raise UserError(
                f"fidelity {config.fidelity} needs the evaluator train: {evaluator} is short already"
            )
        if config.confirm and not config.train.epochs:
            raise UserError(
                f"confirm {config.confirm} has no effect: without training a network gets the same F1 "
                "every time; leave it out, or give train.epochs"
            )
        if config.balance.mode != "none" and not config.train.epochs:
            raise UserError(
                f"balance.mode {config.balance.mode} changes a training, and {evaluator} does not train; "
                "leave it out here, and give it to distill"
            )
    return config.model_copy(update={"evaluator": evaluator})


def make_space(kind: type[SearchSpace], config: SearchConfig, stored_side: int) -> SearchSpace:
    """Return the search space; an elastic one is that of the teacher.

    Args:
        kind: class of the space.
        config: settings of the search; without resolutions, the usual ones are taken.
        stored_side: side of the stored images, pixels.

    Raises:
        UserError: there are several teachers, an unknown one, or one that networks cannot be cut out of.
    """
    resolutions = config.space.resolutions or default_resolutions(stored_side, kind.least_share)
    if not issubclass(kind, Elastic) or config.teacher is None:
        return kind(resolutions)
    named = parse_spec(config.teacher.spec)
    if len(named) > 1:
        raise UserError(f"the space elastic cuts networks out of one teacher, got {len(named)}")
    teacher = find_pretrained(named[0][0])
    return kind(resolutions, base=describe(teacher.model, teacher.name, teacher.resolution))


def default_resolutions(stored_side: int, least: float = 0.5) -> tuple[int, ...]:
    """Return input sides, pixels, from ``least`` times the stored side up to it.

    They are an eighth of the stored side apart, multiples of 8, and 16 or more.
    """
    shares = [share for share in _RESOLUTION_SHARES if share >= least]
    return tuple(sorted({max(16, round(stored_side * share / 8) * 8) for share in shares}))


def make_strategy(
    kind: type[Strategy],
    config: StrategyConfig,
    space: SearchSpace,
    objectives: Objectives,
    seed: int,
    num_classes: int,
) -> Strategy:
    """Return the strategy of a search, which measures latencies where limits need them.

    Args:
        kind: class of the plugin.
        config: name and options.
        space: search space.
        objectives: goals and limits.
        seed: of its random decisions.
        num_classes: classes of the data.

    Raises:
        UserError: an option is unknown, missing or has a value that the strategy refuses.
    """
    bounds = [limit.value for limit in objectives.limits if limit.metric == "latency_ms" and limit.upper]
    probes: Mapping[str, Callable[[Architecture], float]] = {
        "latency_ms": LatencyProbe(
            lambda network: measure_architecture(network, num_classes).median_ms,
            min(bounds, default=None),
            num_classes,
        )
    }
    known = options_of(kind)
    for name in config.options:
        if name not in known:
            raise UserError(
                f"strategy {config.name!r} has no option {name!r}; it has: {', '.join(known) or 'none'}"
            )
    arguments = {"seed": seed, "num_classes": num_classes, "probes": probes, **config.options}
    try:
        signature(kind).bind(space, objectives, **arguments)
    except TypeError as error:
        raise UserError(f"strategy {config.name!r} cannot be made: {error}") from None
    return kind(space, objectives, **arguments)


def study_identity(
    config: SearchConfig, space: SearchSpace, data: ImageSet, teacher: PreparedTeacher | None
) -> dict[str, Any]:
    """Return what the trials of one study share; limits, strategy and seed may change."""
    decisions = [[decision.name, list(decision.options)] for decision in space.decisions]
    digest = hashlib.sha256(json.dumps(decisions, default=str).encode()).hexdigest()[:12]
    return {
        "data": f"{data.name} ({data.digest[:12]})",  # first: the default resolutions depend on it
        "space": {"name": config.space.name, "resolutions": space.resolutions, "decisions": digest},
        "objectives": list(config.objectives),
        "train": config.train.model_dump(mode="json"),
        "augment": config.augment.model_dump(mode="json"),
        "teacher": None
        if teacher is None
        else f"{teacher.ensemble.name} ({teacher.ensemble.digest[:12]})",
        "loss": None if teacher is None else config.loss.model_dump(mode="json"),
        "balance": config.balance.model_dump(mode="json"),
        "evaluator": config.evaluator,
        "supernet": config.supernet.model_dump(mode="json") if config.evaluator == "supernet" else None,
        "importance": config.space.importance if config.evaluator != "train" else None,
        "fidelity": config.fidelity,
        "score": config.score.model_dump(mode="json"),
    }
