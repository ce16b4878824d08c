"""How long to train, and on how many views, where nobody said."""

from __future__ import annotations

import math
from dataclasses import dataclass

from core.config import StudentConfig, TrainConfig


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
#: Of a student with inherited weights: it has little left to learn.
INHERITED = Length(15, 700, most=60)

_PATIENT = 2_000  # steps from which on mixtures help a student
_CUTMIX = 0.5


def steps_per_epoch(images: int, batch_size: int) -> int:
    """Steps of one pass over ``images``; no step has a single image, which batch norm cannot train on."""
    return max(1, min(round(images / batch_size), images // 2))


def decided(recipe: TrainConfig, images: int, usual: Length) -> TrainConfig:
    """``recipe`` with its epochs and views decided; what was given stays.

    A folder of 200 images has three steps per epoch, so that five epochs would leave every network
    at chance and a search would pick on noise.

    Args:
        recipe: with ``epochs`` or ``views`` 0 where nobody said.
        images: in the training split.
        usual: how long otherwise.
    """
    least = math.ceil(usual.steps / steps_per_epoch(images, recipe.batch_size))
    epochs = recipe.epochs or max(usual.epochs, int(min(least, usual.most)))
    recipe = recipe.model_copy(update={"epochs": epochs})
    return recipe.model_copy(update={"views": recipe.walked})


def settled(config: StudentConfig, images: int, usual: Length = STUDENT) -> StudentConfig:
    """A student's settings with epochs, views and mixtures decided; what was given stays.

    Half of the images carry a patch of another one where a teacher says what the mixture is and the
    training is long enough.

    Args:
        config: of the training.
        images: in the training split.
        usual: how long, where nobody said.
    """
    train, augment = decided(config.train, images, usual), config.augment
    steps = train.epochs * steps_per_epoch(images, train.batch_size)
    if augment.cutmix is None and not augment.mixup and config.teacher and steps >= _PATIENT:
        augment = augment.model_copy(update={"cutmix": _CUTMIX})
    return config.model_copy(update={"train": train, "augment": augment})
