"""What makes a study: its strategy, and what its trials must share."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from inspect import signature
from typing import Any

from pydantic import BaseModel

from core.config import ScoreConfig, SearchConfig, StrategyConfig
from core.errors import UserError
from deploy.latency_cache import measure_architecture
from deploy.latency_guess import GuessingProbe
from distill.prepared_teacher import Taught
from nas.architecture import Architecture
from nas.objectives import Objectives
from nas.spaces.base import SearchSpace
from nas.strategies.base import Strategy
from nas.strategies.options import options_of
from training.data.images import ImageSet

#: Settings that studies of 0.1.0 cannot name.
_LATER = {"optimizer", "clip_grad", "patience", "scheduler", "precision", "compile", "cutmix", "mixup"}


def make_strategy(
    kind: type[Strategy],
    config: StrategyConfig,
    space: SearchSpace,
    objectives: Objectives,
    seed: int,
    data: ImageSet,
) -> Strategy:
    """The strategy of a search.

    Args:
        kind: the plugin.
        config: its options.
        space: that it searches.
        objectives: goals and limits.
        seed: of its random decisions.
        data: for which latencies are measured.

    Raises:
        UserError: it has no such option, needs one that is not given, or refuses a value.
    """
    classes = data.num_classes
    most = [limit.value for limit in objectives.limits if limit.metric == "latency_ms" and limit.upper]
    probes: Mapping[str, Callable[[Architecture], float]] = {
        "latency_ms": GuessingProbe(
            lambda a: measure_architecture(a, classes).median_ms, min(most, default=None), classes
        )
    }
    known = options_of(kind)
    for name in config.options:
        if name not in known:
            raise UserError(
                f"strategy {config.name!r} has no option {name!r}; it has: {', '.join(known) or 'none'}"
            )
    given = {"seed": seed, "num_classes": classes, "probes": probes, **config.options}
    try:
        signature(kind).bind(space, objectives, **given)
    except TypeError as error:
        raise UserError(f"strategy {config.name!r} cannot be made: {error}") from None
    return kind(space, objectives, **given)


def identity_of(
    config: SearchConfig, space: SearchSpace, data: ImageSet, taught: Taught | None
) -> dict[str, Any]:
    """What trials must share to be comparable; limits, strategy and seed may change."""
    decisions = [[decision.name, list(decision.options)] for decision in space.decisions]
    digest = hashlib.sha256(json.dumps(decisions, default=str).encode()).hexdigest()[:12]
    return {
        "data": f"{data.name} ({data.digest[:12]})",  # first: the default resolutions depend on it
        "space": {"name": config.space.name, "resolutions": space.resolutions, "decisions": digest},
        "objectives": list(config.objectives),
        "train": _named(config.train),
        "augment": _named(config.augment),
        "teacher": None if taught is None else f"{taught.teacher.name} ({taught.teacher.digest[:12]})",
        "loss": None if taught is None else config.loss.model_dump(mode="json"),
        **({} if config.balance.mode == "none" else {"balance": config.balance.model_dump()}),
        **(
            {
                "evaluator": config.evaluator,
                "supernet": config.supernet.model_dump(mode="json"),
                "importance": config.space.importance,
            }
            if config.evaluator != "train"
            else {}
        ),
        **({} if config.fidelity == "full" else {"fidelity": config.fidelity}),
        **({} if config.score == ScoreConfig() else {"score": config.score.model_dump()}),
    }


def _named(config: BaseModel) -> dict[str, Any]:
    """Settings, without later ones that have their defaults."""
    usual = type(config)().model_dump(mode="json")
    content = config.model_dump(mode="json")
    return {k: v for k, v in content.items() if k not in _LATER or v != usual[k]}
