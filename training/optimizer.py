"""Optimizers and learning-rate schedules of timm, by name."""

from __future__ import annotations

import difflib
from collections.abc import Callable

from timm.optim import create_optimizer_v2, list_optimizers
from timm.scheduler import MultiStepLRScheduler, create_scheduler_v2
from timm.scheduler.scheduler import Scheduler
from torch import nn
from torch.optim import Optimizer

from core.config import TrainConfig
from core.errors import UserError, one_line, short

#: From the optimizer, the recipe and the steps per epoch to a scheduler that is updated every step.
Schedule = Callable[[Optimizer, TrainConfig, int], Scheduler]

_WARMUP_START = 0.1  # of the learning rate
_END = 0.01  # of the learning rate, where the schedule decays to an end
_DROPS = 3  # parts of a step schedule, each with a tenth of the rate before


def make_optimizer(model: nn.Module, recipe: TrainConfig) -> Optimizer:
    """Make the recipe's optimizer of the model's weights; biases and norms do not decay.

    Raises:
        UserError: timm has no optimizer of this name, or it cannot run here.
    """
    name = recipe.optimizer
    names = [str(listed) for listed in list_optimizers()]
    if name not in names:
        close = difflib.get_close_matches(name.lower(), names, n=3)
        hint = f"did you mean {' or '.join(map(repr, close))}?" if close else f"known: {', '.join(names)}"
        raise UserError(f"train.optimizer: timm has no optimizer {short(name)}; {hint}")
    try:
        optimizer: Optimizer = create_optimizer_v2(
            model, opt=name, lr=recipe.peak_rate, weight_decay=recipe.weight_decay
        )
    except (AssertionError, ImportError, RuntimeError) as error:  # timm asserts what a name needs
        reason = one_line(error)[:120]
        raise UserError(f"train.optimizer: {short(name)} cannot be used here: {reason}") from error
    if getattr(optimizer, "is_second_order", False):
        raise UserError(
            f"train.optimizer: {short(name)} needs second derivatives and draws random numbers that no "
            f"checkpoint holds; choose another"
        )
    return optimizer


def schedule_by_recipe(optimizer: Optimizer, recipe: TrainConfig, steps: int) -> Scheduler:
    """Make timm's ``recipe.scheduler``, after a warm-up in the first ``recipe.warmup`` of all steps."""
    total = (recipe.epochs or 0) * steps
    warmup = min(round(recipe.warmup * total), max(total - 1, 0))
    decay = 0.2 * (total - warmup) if recipe.scheduler == "wsd" else total / _DROPS
    scheduler, _ = create_scheduler_v2(
        optimizer,
        sched=recipe.scheduler,
        num_epochs=total,  # timm counts the updates of an epoch; here all epochs are one count of updates
        updates_per_epoch=1,
        step_on_epochs=False,
        decay_epochs=max(1, round(decay)),
        decay_rate=1.0 if recipe.scheduler == "poly" else 0.1,  # of poly it is the power
        min_lr=recipe.peak_rate * _END,
        warmup_epochs=warmup,
        warmup_lr=recipe.peak_rate * _WARMUP_START,
    )
    return scheduler


def flat_schedule(optimizer: Optimizer, recipe: TrainConfig, steps: int) -> Scheduler:
    """Make a constant schedule, after a warm-up in the first half of the first epoch.

    It is the same however many epochs there will be. The exponential average of the weights does what a
    decay would do (Polyak & Juditsky 1992).
    """
    return MultiStepLRScheduler(
        optimizer,
        decay_t=[],
        warmup_t=max(1, steps // 2),
        warmup_lr_init=recipe.peak_rate * _WARMUP_START,
        warmup_prefix=False,
        t_in_epochs=False,
    )
