"""Settings that a run does not use, given its other settings, so that none is ignored silently."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import nas.spaces
from core.config import AugmentConfig, DataConfig, LossConfig, SearchConfig, StudentConfig
from minnow.evaluator_settings import usual_evaluator
from nas.objectives import Objectives
from nas.spaces.elastic import Elastic
from training.data.hub_opening import HUB_PREFIX
from training.data.sources import is_table


@dataclass(frozen=True)
class Unused:
    """Settings that have no effect.

    Attributes:
        names: dotted names, or sections such as ``loss.``.
        reason: why they have no effect, and what to do.
        but: names in these sections that have an effect.
    """

    names: tuple[str, ...]
    reason: str
    but: tuple[str, ...] = ()

    def covers(self, name: str) -> bool:
        """Return whether a setting is one of these."""
        if name in self.but:
            return False
        return any(name == own or (own.endswith(".") and name.startswith(own)) for own in self.names)


def unused_in_data(data: DataConfig) -> Iterator[Unused]:
    """Yield the settings that have no effect on a data set."""
    if data.spec.startswith(HUB_PREFIX):
        names = ("data.table.split", "data.table.test_fold", "data.table.folder")
        yield Unused(names, "the data set names its splits and has its images itself")
    elif not is_table(data.spec):
        yield Unused(("data.table.",), f"{data.spec} is no table")


def unused_in_search(config: SearchConfig, *, distilled: bool = False) -> Iterator[Unused]:
    """Yield the settings that have no effect in a search.

    Args:
        config: of the search.
        distilled: whether a student is trained as well, with the same loss.
    """
    yield from unused_in_data(config.data)
    space = nas.spaces.load(config.space.name)
    evaluator = usual_evaluator(config, space)
    if evaluator != "supernet":
        yield Unused(("supernet.",), f"the evaluator {evaluator} makes no supernet")
    if not issubclass(space, Elastic):
        yield Unused(("base.",), "no network is cut out of another one; choose the space elastic")
    elif evaluator == "train":
        yield Unused(("base.",), "networks start from random weights", but=("base.spec",))
    if evaluator == "train":
        yield Unused(
            ("space.importance",),
            "no network inherits channels; choose the space elastic, and not the evaluator train",
        )
    elif not config.train.epochs:
        reason = f"the evaluator {evaluator} trains no network unless train.epochs is given"
        names = ("train.learning_rate", "train.views") if evaluator == "supernet" else ("train.",)
        yield Unused(names, reason, but=("train.epochs",))
        if evaluator == "inherit" and not distilled:
            yield Unused(("loss.",), f"{reason}; give it to distill")
    if config.executor == "local" and config.trial_gpus:
        yield Unused(("trial_gpus",), "on this machine trials share its GPU; choose the executor ray")
    if config.fidelity == "asha":
        yield Unused(("train.scheduler", "train.warmup"), "with asha the learning rate stays constant")
    if not Objectives.parse(config.objectives, config.limits).timed:
        yield Unused(("score.",), "no objective or limit names score or total_seconds")
    if config.balance.mode in (None, "none"):
        yield Unused(("balance.tau",), "balance.mode is none")
    features = "hint" if distilled else "none"
    yield from _unused_in_training(config.loss, config.augment, config.teacher is not None, features)


def unused_in_student(config: StudentConfig) -> Iterator[Unused]:
    """Yield the settings that have no effect in the training of a student."""
    yield from unused_in_data(config.data)
    if config.teacher is None:
        yield Unused(("live_teacher",), "there is no teacher; give one")
    if config.train.epochs is not None:
        yield Unused(("budget",), "train.epochs decides the length; leave it out")
    if config.from_scratch:
        yield Unused(("base.",), "from_scratch starts from random weights")
    yield from _unused_in_training(config.loss, config.augment, config.teacher is not None, "hint")


def _unused_in_training(
    loss: LossConfig, augment: AugmentConfig, teacher: bool, usual_features: str
) -> Iterator[Unused]:
    """Yield what has no effect in any training.

    Args:
        loss: settings of the loss.
        augment: settings of the augmentation.
        teacher: whether there is a teacher.
        usual_features: loss on features if none is given.
    """
    if not teacher:
        yield Unused(("loss.",), "the loss compares with a teacher, and there is none; give a teacher")
    else:
        yield Unused(("train.label_smoothing",), "labels are not smoothed beside a teacher's outputs")
        if (loss.features or usual_features) == "none":
            yield Unused(
                ("loss.feature_weight", "loss.feature_options"),
                "there is no loss on features; set loss.features, for instance to hint",
            )
    if augment.operations == 0:
        yield Unused(("augment.magnitude", "augment.random_magnitude"), "augment.operations is 0")
