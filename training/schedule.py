"""How the learning rate goes over a training."""

from __future__ import annotations

from collections.abc import Callable

from timm.scheduler import CosineLRScheduler, MultiStepLRScheduler
from timm.scheduler.scheduler import Scheduler
from torch.optim import Optimizer

from nas.config import TrainConfig

#: From the optimiser, the recipe and the steps per epoch to a scheduler that is updated every step.
Schedule = Callable[[Optimizer, TrainConfig, int], Scheduler]

_WARMUP_START = 0.1  # of the learning rate


def one_cycle(optimizer: Optimizer, recipe: TrainConfig, steps: int) -> Scheduler:
    """Up in the first ``recipe.warmup`` of all steps, down along a cosine until the last."""
    total = recipe.epochs * steps
    return CosineLRScheduler(
        optimizer,
        t_initial=total,
        lr_min=recipe.learning_rate * 0.01,
        warmup_t=round(recipe.warmup * total),
        warmup_lr_init=recipe.learning_rate * _WARMUP_START,
        warmup_prefix=False,
        t_in_epochs=False,
    )


def flat(optimizer: Optimizer, recipe: TrainConfig, steps: int) -> Scheduler:
    """Up in the first half of the first epoch, then constant: the same however many epochs there will be.

    The exponential average of the weights does what a decay would do (Polyak & Juditsky 1992).
    """
    return MultiStepLRScheduler(
        optimizer,
        decay_t=[],
        warmup_t=max(1, steps // 2),
        warmup_lr_init=recipe.learning_rate * _WARMUP_START,
        warmup_prefix=False,
        t_in_epochs=False,
    )
