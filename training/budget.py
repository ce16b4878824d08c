"""Settings that are decided from the size of the data: training length, views, rate, loss, mixtures."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from core.config import INHERITED_RATE, SearchConfig, StudentConfig, TrainConfig
from nas.objectives import Limit, Objectives


@dataclass(frozen=True)
class Length:
    """A usual length.

    Attributes:
        epochs: passes over the training split, at least.
        steps: at least, where the split is small; but not beyond ``most``.
        most: epochs that small splits get.
    """

    epochs: int
    steps: int
    most: float = math.inf

    def __str__(self) -> str:
        most = "" if self.most == math.inf else f" but at most {self.most} epochs"
        return f"{self.epochs}, or {self.steps:,} steps{most}"


TRIAL = Length(5, 100)
#: Of a trial that successive halving trains to the end: a ninth of it must tell networks apart.
HALVED_TRIAL = Length(9, 450)
TEACHER = Length(6, 100)
#: Networks from scratch go on improving for thousands of steps, and the more so with a teacher.
STUDENT = Length(30, 6_000, most=300)

#: Of the supernet: a sub-network needs several epochs beside all the others.
SUPERNET = Length(10, 440, most=40)
#: Near limits they resemble each other, and the chosen one is trained for long.
NEAR_SUPERNET = Length(4, 110, most=20)
#: Of a student with inherited weights.
INHERITED = Length(15, 2_100, most=180)
_SMALL = 10e6  # multiply-adds below which it takes more steps in the same time, and goes on improving
_MOST_TIMES = 4  # as many steps

_PATIENT = 2_000  # steps from which on mixtures help a student
_CUTMIX = 0.5


def steps_per_epoch(images: int, batch_size: int) -> int:
    """Return the steps of one pass over ``images``, none of a single image, as batch norm needs two."""
    return max(1, min(round(images / batch_size), images // 2))


def decided(recipe: TrainConfig, images: int, usual: Length) -> TrainConfig:
    """Return ``recipe`` with epochs, views and learning rate decided; what was given stays.

    A folder of 200 images has three steps per epoch, so that five epochs would leave every network
    at chance and a search would pick on noise.

    Args:
        recipe: of the training.
        images: in the training split.
        usual: default length.
    """
    least = math.ceil(usual.steps / steps_per_epoch(images, recipe.batch_size))
    epochs = recipe.epochs
    if epochs is None:
        epochs = max(usual.epochs, int(min(least, usual.most)))
    recipe = recipe.model_copy(update={"epochs": epochs})
    return recipe.model_copy(update={"views": recipe.view_count, "learning_rate": recipe.peak_rate})


def resolve_search(config: SearchConfig, images: int) -> SearchConfig:
    """Return a search's settings with everything decided but what belongs to its teacher and students.

    Idempotent. ``teacher.epochs`` is decided where the teacher is prepared, since one that is trained
    already takes none, and ``augment.cutmix`` stays open for the students.

    Args:
        config: with its evaluator decided.
        images: in the training split.
    """
    inherits = config.evaluator in ("inherit", "supernet")
    train = config.train
    if inherits:  # trials start from weights that know the images: no training unless it is asked for
        rate = train.learning_rate or INHERITED_RATE
        train = train.model_copy(update={"epochs": train.epochs or 0, "learning_rate": rate})
    train = decided(train, images, HALVED_TRIAL if config.fidelity == "asha" else TRIAL)
    supernet = config.supernet
    if config.evaluator == "supernet":
        recipe = supernet_recipe(config, images)
        supernet = supernet.model_copy(update={"epochs": recipe.epochs, "views": recipe.views})
    return config.model_copy(
        update={
            "train": train,
            "supernet": supernet,
            "loss": config.loss.model_copy(update={"features": config.loss.features or "none"}),
            "balance": config.balance.model_copy(update={"mode": config.balance.mode or "none"}),
            "confirm": confirmations(config.model_copy(update={"train": train})),
        }
    )


def confirmations(config: SearchConfig) -> int:
    """Return the number of trials that train known networks again: with one objective a fifth.

    Without training it is zero, since the same network would get the same F1.
    """
    if config.confirm is not None:
        return config.confirm
    untrained = config.evaluator in ("inherit", "supernet") and not config.train.epochs
    return config.trials // 5 if len(config.objectives) == 1 and not untrained else 0


def supernet_recipe(config: SearchConfig, images: int) -> TrainConfig:
    """Return the recipe that trains the supernet on a split of ``images``."""
    own = {**config.supernet.model_dump(exclude={"sizes"}), "compile": False}  # it names parameters anew
    one_size = supernet_limits(config) and len(config.objectives) <= 1
    return decided(config.train.model_copy(update=own), images, NEAR_SUPERNET if one_size else SUPERNET)


def supernet_limits(config: SearchConfig) -> tuple[Limit, ...]:
    """Return the limits near which the supernet's subnets are trained; none: those of all sizes."""
    if config.supernet.sizes == "all":
        return ()
    return Objectives.parse((), config.limits).size_limits


def inherited_length(macs: float) -> Length:
    """Return the usual length of a student with inherited weights and so many multiply-adds."""
    times = min(max(1.0, _SMALL / macs), _MOST_TIMES)
    return replace(INHERITED, steps=round(times * INHERITED.steps))


def resolve_student(
    config: StudentConfig, images: int, *, inherits: bool = False, macs: float = math.inf
) -> StudentConfig:
    """Return a student's settings with everything decided but ``teacher.epochs``; what was given stays.

    Half of the images carry a patch of another one if a teacher describes the mixture and the
    training is long enough. Idempotent.

    Args:
        config: of the training.
        images: in the training split.
        inherits: whether the student starts from its teacher's or its supernet's weights.
        macs: its multiply-adds, where it does; small networks are trained for longer.
    """
    train, augment = config.train, config.augment
    if inherits:
        train = train.model_copy(update={"learning_rate": train.learning_rate or INHERITED_RATE})
    train = decided(train, images, inherited_length(macs) if inherits else STUDENT)
    if augment.cutmix is None:
        steps = (train.epochs or 0) * steps_per_epoch(images, train.batch_size)
        mixes = config.teacher is not None and not augment.mixup and steps >= _PATIENT
        augment = augment.model_copy(update={"cutmix": _CUTMIX if mixes else 0.0})
    return config.model_copy(
        update={
            "train": train,
            "augment": augment,
            "loss": config.loss.model_copy(update={"features": config.loss.features or "hint"}),
            "balance": config.balance.model_copy(update={"mode": config.balance.mode or "post-hoc"}),
        }
    )
