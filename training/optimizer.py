"""timm's optimisers by name."""

from __future__ import annotations

import difflib

from timm.optim import create_optimizer_v2, list_optimizers
from torch import nn
from torch.optim import Optimizer

from core.config import TrainConfig
from core.errors import UserError, one_line


def make_optimizer(model: nn.Module, recipe: TrainConfig) -> Optimizer:
    """The recipe's optimiser of the model's weights; biases and norms do not decay.

    Raises:
        UserError: timm has no optimiser of this name, or it cannot run here.
    """
    name = recipe.optimizer
    known = [str(each) for each in list_optimizers()]
    if name not in known:
        close = difflib.get_close_matches(name.lower(), known, n=3)
        hint = f"did you mean {' or '.join(map(repr, close))}?" if close else f"known: {', '.join(known)}"
        raise UserError(f"train.optimizer: timm has no optimiser {name!r}; {hint}")
    try:
        made: Optimizer = create_optimizer_v2(
            model, opt=name, lr=recipe.learning_rate, weight_decay=recipe.weight_decay
        )
    except (AssertionError, ImportError, RuntimeError) as error:  # timm asserts what a name needs
        reason = one_line(error)[:120]
        raise UserError(f"train.optimizer: {name!r} cannot be used here: {reason}") from error
    if getattr(made, "is_second_order", False):
        raise UserError(
            f"train.optimizer: {name!r} needs second derivatives and draws random numbers that no "
            f"checkpoint holds; choose another"
        )
    return made
