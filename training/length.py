"""How long to train where nobody said: a number of epochs, and of steps where these are few."""

from __future__ import annotations

import math

from nas.config import TrainConfig

#: Usual epochs, and the least number of steps, of a search's trial, of one that successive halving trains
#: to the end (a ninth of it must tell networks apart), of a teacher and of a final student.
TRIAL = (5, 100)
HALVED_TRIAL = (9, 450)
TEACHER = (6, 100)
STUDENT = (20, 400)


def steps_per_epoch(images: int, batch_size: int) -> int:
    """Steps of one pass over ``images``; no step has a single image, which batch norm cannot train on."""
    return max(1, min(round(images / batch_size), images // 2))


def decided(recipe: TrainConfig, images: int, usual: tuple[int, int]) -> TrainConfig:
    """``recipe`` with its epochs decided; those that were given stay.

    A folder of 200 images has three steps per epoch, so that five epochs would leave every network
    at chance and a search would pick on noise.

    Args:
        recipe: with ``epochs`` 0 where nobody said.
        images: in the training split.
        usual: (epochs, least number of steps).
    """
    if recipe.epochs:
        return recipe
    epochs, steps = usual
    least = math.ceil(steps / steps_per_epoch(images, recipe.batch_size))
    return recipe.model_copy(update={"epochs": max(epochs, least)})
