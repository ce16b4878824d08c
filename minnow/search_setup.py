"""The parts of a search that its settings and its data decide: space, strategy, scheduler."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from torch import nn

import deploy.targets
import nas.executors
import nas.spaces
import nas.strategies
from core.config import SearchConfig, StrategyConfig
from core.errors import UserError
from deploy.architecture_latency import measure_architecture
from deploy.device.link import ModelError
from deploy.latency_probe import LatencyProbe
from distill.student_loss import StudentLoss
from minnow.base_network import architecture_of, resolve_base
from minnow.base_settings import base_of_run
from minnow.budget_split import split_budget
from minnow.data_set import open_data
from minnow.evaluator_settings import resolve_evaluator
from minnow.input_sides import default_resolutions, small_sides
from minnow.listener import Listener
from minnow.teacher import check_balance, check_unlabelled
from nas.architecture import Architecture
from nas.objectives import Objectives
from nas.schedulers.asha import SuccessiveHalving
from nas.schedulers.confirmation import Confirmation, Pace
from nas.spaces import SearchSpace
from nas.spaces.elastic import Elastic
from nas.strategies.base import Strategy
from training.budget import resolve_search
from training.data.images import ImageSet
from training.optimizer import make_optimizer


@dataclass(frozen=True)
class SearchParts:
    """The parts of a search that its settings and its data decide."""

    config: SearchConfig
    objectives: Objectives
    data: ImageSet
    space: SearchSpace
    halving: SuccessiveHalving | None
    scheduler: Confirmation


def prepare_search(config: SearchConfig, listener: Listener) -> SearchParts:
    """Make everything that needs no run directory.

    Raises:
        UserError: a setting is wrong, whatever the study.
    """
    space_class = nas.spaces.load(config.space.name)
    nas.strategies.load(config.strategy.name)  # a wrong name is wrong before the data is read
    nas.executors.check(config.executor)
    deploy.targets.check_ready(config.target)  # and so is a device that is not there
    config = resolve_evaluator(config, space_class)
    if issubclass(space_class, Elastic):
        config = resolve_base(config, listener)
    objectives = Objectives.parse(config.objectives, config.limits)
    _check(config)
    if config.executor != "local" and objectives.timed:
        raise UserError(
            "total_seconds and score are timed where a trial is trained, and other machines are not "
            "timed: name latency_ms instead, or search with the executor local"
        )
    data = open_data(config.data, listener)
    space = make_space(space_class, config, data.size)
    if config.space.resolutions is not None and (largest := max(space.resolutions)) > data.size:
        listener.note(
            f"inputs of {largest} px are enlarged from the stored {data.size} px; "
            f"--image-size {largest} stores the images at that side"
        )
    if isinstance(space, Elastic) and (sides := small_sides(space, config, objectives, data)) is not None:
        listener.note(
            f"the limits leave few networks at the usual resolutions: {sides[0]} px and up are tried"
        )
        small = config.space.model_copy(update={"resolutions": sides})
        config, space = config.model_copy(update={"space": small}), Elastic(sides, base=space.base)
    config = split_budget(config, space, objectives, data, listener)
    config = resolve_search(config, len(data.learned))
    epochs = config.train.epochs or 0
    asha = config.fidelity == "asha"
    strategy = make_strategy(
        config.strategy, space, objectives, config.seed, data.num_classes, config.target
    )
    halving = SuccessiveHalving(strategy, epochs=epochs) if asha else None
    scheduler = Confirmation(
        halving or strategy,
        trials=config.trials,
        confirm=config.confirm or 0,
        epochs=epochs if asha else None,
        pace=Pace(config.timeout),
    )
    return SearchParts(config, objectives, data, space, halving, scheduler)


def _check(config: SearchConfig) -> None:
    """Refuse settings that are wrong whatever the data.

    Raises:
        UserError: the first of them.
    """
    check_balance(config)
    check_unlabelled(config)
    if config.balance.mode == "post-hoc":
        raise UserError(
            "balance.mode post-hoc would be tuned on the validation images that choose the network; "
            "give it to distill or train, and sampler or logit-adjust to a search"
        )
    StudentLoss(config.loss)  # a wrong name is wrong without a teacher, too
    make_optimizer(nn.Linear(1, 1), config.train)


def make_space(kind: type[SearchSpace], config: SearchConfig, stored_side: int) -> SearchSpace:
    """Return the search space; an elastic one is that of the base.

    Args:
        kind: class of the space.
        config: settings of the search; without resolutions, the usual ones are taken.
        stored_side: side of the stored images, pixels.

    Raises:
        UserError: the base is unknown, or networks cannot be cut out of it.
    """
    resolutions = config.space.resolutions or default_resolutions(stored_side, kind.least_share)
    base = base_of_run(config)
    if not issubclass(kind, Elastic) or base is None:
        return kind(resolutions)
    return kind(resolutions, base=architecture_of(base.spec))


def make_strategy(
    config: StrategyConfig,
    space: SearchSpace,
    objectives: Objectives,
    seed: int,
    num_classes: int,
    target: str,
) -> Strategy:
    """Return the strategy of a search, which measures latencies where limits need them.

    Args:
        config: name and options.
        space: search space.
        objectives: goals and limits.
        seed: of its random decisions.
        num_classes: classes of the data.
        target: that the metrics of limits are of; where it is a profile, every latency is predicted, and
            increased by the profile's margin.

    Raises:
        UserError: the name or an option is unknown; an option is missing, or has a value that the
            strategy refuses.
    """
    bounds = [limit.value for limit in objectives.limits if limit.metric == "latency_ms" and limit.upper]
    kind = deploy.targets.runtime_target(target)
    if deploy.targets.is_profile(target):  # whose predictions need no others before them
        bounds = []
    probes: Mapping[str, Callable[[Architecture], float]] = {
        "flash_kb": lambda network: kind.flash_kb(network, num_classes),
        "ram_kb": lambda network: kind.ram_kb(network, num_classes),
        "latency_ms": LatencyProbe(
            partial(_latency_ms, num_classes=num_classes, target=target),
            min(bounds, default=None),
            num_classes,
        ),
    }
    strategy: Strategy = nas.strategies.REGISTRY.create(
        config.name,
        space,
        objectives,
        options=config.options,
        seed=seed,
        num_classes=num_classes,
        probes=probes,
    )
    return strategy


def _latency_ms(network: Architecture, num_classes: int, target: str) -> float:
    """Return the latency that limits apply to; infinite where the target cannot run the network."""
    try:
        return measure_architecture(network, num_classes, target=target).upper_ms
    except ModelError:
        return math.inf
