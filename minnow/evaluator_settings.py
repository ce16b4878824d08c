"""The evaluator of a search: the usual one of its settings, and the settings that go with it."""

from __future__ import annotations

import deploy.targets
from core.config import SearchConfig, SupernetConfig
from core.errors import UserError
from deploy.targets.base import FLOAT
from nas.objectives import SCORES, Objectives
from nas.spaces import SearchSpace
from nas.spaces.elastic import Elastic


def usual_evaluator(config: SearchConfig, space: type[SearchSpace]) -> str:
    """Return the evaluator of a search: the given one, else the usual one.

    A supernet is made where networks of several sizes are compared, or quantised ones. Networks of one
    size need none: those that keep the most of the base's F1 as they are cut out of it give students as
    good (``docs/comparison.md``).
    """
    if config.evaluator is not None:
        return config.evaluator
    if not issubclass(space, Elastic):
        return "train"
    objectives = Objectives.parse(config.objectives, config.limits)
    goals, limits = objectives.goals, objectives.limits
    one_score = len(goals) == 1 and goals[0].metric in SCORES
    one_size = bool(limits) and limits == objectives.size_limits
    asked = config.supernet != SupernetConfig()
    if one_score and one_size and not asked and deploy.targets.precision(config.target) == FLOAT:
        return "inherit"
    return "supernet"


def trains(config: SearchConfig) -> bool:
    """Return whether trials train their networks, given the decided evaluator."""
    return config.evaluator == "train" or bool(config.train.epochs)


def judged_as_cut(config: SearchConfig) -> bool:
    """Return whether trials have the scores of networks as they are cut out of the base, untrained."""
    return config.evaluator == "inherit" and not trains(config)


def resolve_evaluator(config: SearchConfig, space: type[SearchSpace]) -> SearchConfig:
    """Return the settings with their evaluator decided.

    Raises:
        UserError: the evaluator does not go with the space, the fidelity or the missing teacher.
    """
    elastic = issubclass(space, Elastic)
    evaluator = usual_evaluator(config, space)
    if evaluator == "train" and config.train.epochs == 0:
        raise UserError("train.epochs 0 trains nothing, and the evaluator train needs 1 or more")
    if evaluator != "train":
        if not elastic:
            raise UserError(
                f"evaluator {evaluator} needs weights to inherit, and {config.space.name} has none; "
                "choose the space elastic, or the evaluator train"
            )
        if config.teacher is None:
            raise UserError(
                "the space elastic needs a teacher, to learn from and to cut networks out of: give one, "
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
        if config.balance.mode not in (None, "none") and not config.train.epochs:
            raise UserError(
                f"balance.mode {config.balance.mode} changes a training, and {evaluator} does not train; "
                "leave it out here, and give it to distill"
            )
    return config.model_copy(update={"evaluator": evaluator})
