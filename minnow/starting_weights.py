"""The weights that networks start from: those of a supernet, of the base, or random ones."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from core.config import SearchConfig, SpaceConfig, StudentConfig
from core.errors import UserError
from distill.inherited_weights import (
    ORDERS_FILE,
    InheritedWeights,
    base_architecture,
    inherit_from_base,
    saved_channel_orders,
)
from distill.supernet import (
    SUPERNET_FOLDER,
    find_supernet,
    has_supernet,
    train_supernet,
)
from minnow.base_network import inherits, search_base
from minnow.listener import Listener
from minnow.near_limits import subnets_near_limits
from minnow.run_directory import ChosenNetwork
from nas.architecture import Architecture
from nas.objectives import Objectives
from nas.spaces import SearchSpace
from nas.spaces.elastic import Elastic
from teachers.ensemble import PreparedTeacher
from teachers.finetune import Teacher
from training.budget import supernet_limits, supernet_recipe
from training.data.images import ImageSet


def search_weights(
    config: SearchConfig,
    space: SearchSpace,
    data: ImageSet,
    teacher: PreparedTeacher | None,
    base: Teacher | None,
    run: Path,
    *,
    resume: bool,
    listener: Listener,
) -> InheritedWeights | None:
    """Return the weights that the proposals of a search are cut out of; ``None``: random weights.

    The supernet is adapted first where the evaluator needs one, or resumed; for subnets near the limits,
    if there are limits.

    Raises:
        UserError: the supernet in ``run`` is another one or damaged; its training diverged twice; there
            is no network near limits.
    """
    if base is None or teacher is None or not isinstance(space, Elastic):
        return None
    if config.evaluator == "inherit":
        return _as_cut(config, base, data, run, begun=resume)
    limits = [*map(str, supernet_limits(config))]
    near: tuple[Architecture, ...] = ()
    if not has_supernet(run):
        report = partial(listener.count, "latencies of random subnets")
        near = _near_subnets(config, space, data.num_classes, report)
    supernet = train_supernet(
        space,
        base,
        teacher,
        data,
        supernet_recipe(config, len(data.learned)),
        config.loss,
        config.augment,
        run / SUPERNET_FOLDER,
        near=near,
        limits=limits,
        importance=config.space.importance,
        seed=config.seed,
        warn=listener.warn,
        report=partial(listener.training, "supernet"),
    )
    sizes = f"networks near {', '.join(supernet.limits)}" if supernet.limits else "networks of all sizes"
    listener.note(f"supernet of {supernet.base.base} in {run / SUPERNET_FOLDER}, for {sizes}")
    if supernet.limits and {*supernet.limits} != {*limits}:
        listener.warn(
            f"the supernet in {run / SUPERNET_FOLDER} was adapted for {sizes}; others get too low an F1: "
            "search in another run directory for other limits"
        )
    return supernet


def judging_weights(
    config: SearchConfig, teacher: PreparedTeacher, data: ImageSet, run: Path, listener: Listener
) -> InheritedWeights:
    """Return the weights that the networks of an earlier search were judged by, untrained.

    Args:
        config: of the search, with its evaluator decided, which inherits.
        teacher: its teacher.
        data: the images.
        run: its run directory.
        listener: receives progress.

    Raises:
        UserError: it has no finished supernet; its base is unknown, or its fine-tuning fails.
    """
    if config.evaluator == "inherit":
        base = search_base(config, teacher, data.labelled, listener)
        weights = None if base is None else _as_cut(config, base, data, run, begun=True)
    else:
        weights = find_supernet(run)
    if weights is None:
        raise UserError(f"{run} holds no finished supernet; resume its search first")
    return weights


def _as_cut(
    config: SearchConfig, base: Teacher, data: ImageSet, run: Path, *, begun: bool
) -> InheritedWeights:
    """Return the weights of the base, with the order of its channels that the search began with."""
    orders = saved_channel_orders(base, data, config.space.importance, run / ORDERS_FILE, begun=begun)
    return inherit_from_base(base, data, orders=orders)


def _near_subnets(
    config: SearchConfig,
    space: Elastic,
    num_classes: int,
    report: Callable[[int, int], None],
) -> tuple[Architecture, ...]:
    """Return the subnets that a new supernet is trained for; none: those of all sizes.

    Raises:
        UserError: there are none near limits where the settings ask for them.
    """
    if config.supernet.sizes == "all":
        return ()
    objectives = Objectives.parse(config.objectives, config.limits)
    near = subnets_near_limits(space, objectives, num_classes, config.target, report)
    if config.supernet.sizes == "near" and not near:
        raise UserError(
            "supernet.sizes near needs a limit on params, macs or latency_ms that decides the size, and "
            "that enough networks meet; set it to all"
        )
    return near


def student_weights(
    chosen: ChosenNetwork,
    config: StudentConfig,
    base: Teacher | None,
    data: ImageSet,
    folder: Path,
    *,
    resume: bool,
    listener: Listener,
) -> InheritedWeights | None:
    """Return the weights that a student starts from: those of its search's supernet, else its base's.

    ``None`` stands for random weights.

    Args:
        chosen: network to train.
        config: settings of the training.
        base: fine-tuned, see :func:`minnow.base_network.student_base`.
        data: the images.
        folder: holds the order of the base's channels while the student is trained.
        resume: whether a training in ``folder`` started with the order there.
        listener: receives the origin of the weights, and warnings.

    Raises:
        UserError: the supernet is damaged or of other classes.
    """
    name = chosen.architecture.base
    if not inherits(chosen, config):
        if name is not None and not config.from_scratch:
            listener.warn(
                f"the network is cut out of {name}, but without a teacher or a base it starts from "
                "random weights"
            )
        return None
    supernet = None if chosen.run is None else find_supernet(chosen.run)
    if supernet is not None:
        if supernet.classes != data.num_classes:
            raise UserError(
                f"the supernet of {chosen.run} has {supernet.classes} classes, the data has "
                f"{data.num_classes}; set from_scratch, or search on this data"
            )
        if supernet.test_digest not in (None, data.test_digest):
            listener.warn(
                f"the search in {chosen.run} had another test split: its supernet may know the test "
                "images of this training, and the test F1 is then too high; search again on this split"
            )
        listener.note(f"starts from its weights in the supernet of {chosen.run}")
        return supernet
    if base is None:
        raise ValueError("a student that inherits needs a supernet or a base")
    listener.note(f"starts from its weights in {name}")
    rule = (SpaceConfig() if chosen.search is None else chosen.search.space).importance
    orders = saved_channel_orders(base, data, rule, folder / ORDERS_FILE, begun=resume)
    return inherit_from_base(base, data, orders=orders)


def inheritance_hint(
    config: StudentConfig, teacher: PreparedTeacher | None, metrics: Mapping[str, Any]
) -> str | None:
    """Return a one-line hint at inherited weights for a student far below its teacher, else ``None``.

    Far below means: the 95 % interval of its test F1 ends before the teacher's begins.

    Args:
        config: settings of the student.
        teacher: its teacher, if any.
        metrics: content of ``metrics.json``.
    """
    spec = None if config.teacher is None else config.teacher.spec
    if teacher is None or spec is None or config.from_scratch or metrics.get("inherited") is not None:
        return None
    if metrics["test"]["f1_interval"][1] >= metrics["teacher"]["f1_interval"][0]:
        return None
    return (
        "the student is far below its teacher; one that starts from pretrained weights keeps more, above "
        f"all on few images: search the space elastic with the teacher {spec}{_base_to_give(teacher)}"
    )


def _base_to_give(teacher: PreparedTeacher) -> str:
    """Return the end of a hint, for teachers that networks cannot be cut out of."""
    for member in teacher.ensemble.members:
        with contextlib.suppress(UserError):
            base_architecture(member)
            return ""
    return " and the base tf_efficientnet_lite0"
