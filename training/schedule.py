"""How the learning rate goes over a training."""

from __future__ import annotations

from collections.abc import Callable

from timm.scheduler import MultiStepLRScheduler, create_scheduler_v2
from timm.scheduler.scheduler import Scheduler
from torch.optim import Optimizer

from core.config import TrainConfig

#: From the optimiser, the recipe and the steps per epoch to a scheduler that is updated every step.
Schedule = Callable[[Optimizer, TrainConfig, int], Scheduler]

_WARMUP_START = 0.1  # of the learning rate
_END = 0.01  # of the learning rate, where the schedule decays to an end
_DROPS = 3  # parts of a step schedule, each with a tenth of the rate before


def by_recipe(optimizer: Optimizer, recipe: TrainConfig, steps: int) -> Scheduler:
    """Up in the first ``recipe.warmup`` of all steps, then as timm's ``recipe.scheduler`` goes."""
    total = recipe.epochs * steps
    scheduler, _ = create_scheduler_v2(
        optimizer,
        sched=recipe.scheduler,
        num_epochs=total,  # timm counts the updates of an epoch; here all epochs are one count of updates
        updates_per_epoch=1,
        step_on_epochs=False,
        decay_epochs=0.2 if recipe.scheduler == "wsd" else max(1, round(total / _DROPS)),
        decay_rate=1.0 if recipe.scheduler == "poly" else 0.1,  # of poly it is the power
        min_lr=recipe.learning_rate * _END,
        warmup_epochs=round(recipe.warmup * total),
        warmup_lr=recipe.learning_rate * _WARMUP_START,
    )
    return scheduler


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
