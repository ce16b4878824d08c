"""One step of training (loss, gradient, update), and the reaction to a divergence."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator

import torch
from timm.utils import dispatch_clip_grad
from torch import nn
from torch.nn.utils import get_total_norm

from core.config import TrainConfig
from training.batches import Batch
from training.device import forward_dtype
from training.processes import Processes
from training.state import TrainingState

_SLOWER = 0.5


class DivergedError(Exception):
    """The loss, the gradient or the outputs became infinite or NaN; the message says when."""


#: Reaction to a divergence, given the number of earlier rollbacks: returns the factor of the learning
#: rate with which the epoch is repeated, from the end of the one before, or raises.
OnDivergence = Callable[[DivergedError, int], float]


def stop_training(error: DivergedError, times: int) -> float:
    """End the training at a divergence.

    Raises:
        DivergedError: always.
    """
    raise error


def halve_once(warn: Callable[[str], None]) -> OnDivergence:
    """Return a reaction: halve the learning rate at the first divergence, end the training at the second.

    Args:
        warn: callback for the one-line warning about the first.
    """

    def decide(error: DivergedError, times: int) -> float:
        if times:
            raise DivergedError(f"{error}, which was halved before") from error
        warn(f"{error}; repeating the epoch with half the learning rate")
        return _SLOWER

    return decide


#: From the network and the batch to a scalar. One that is a module is trained along with the network.
Loss = Callable[[nn.Module, Batch], torch.Tensor]


class SummedLoss(ABC):
    """A loss that is a sum of terms, each of which keeps its own activations for the backward pass."""

    @abstractmethod
    def terms(self, model: nn.Module, batch: Batch) -> Iterator[torch.Tensor]:
        """Yield scalars; the backward pass of each comes before the next is computed."""

    def __call__(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """Return the sum of the terms."""
        return torch.stack(list(self.terms(model, batch))).sum()


def train_step(
    state: TrainingState,
    batch: Batch,
    loss: Loss,
    recipe: TrainConfig,
    update: int,
    processes: Processes,
) -> float:
    """Update the weights once; returns the mean loss over the step's images.

    Every process has a part of the images. The parts' losses are weighted with their sizes and the
    gradients summed, so all processes make the update that one would have made. (DistributedDataParallel
    would not do: losses on features call other methods of the network than ``forward``.)

    Args:
        state: changed.
        batch: this process's part.
        loss: mean over a batch.
        recipe: how.
        update: number of the step, from the start of the training.
        processes: that train together.

    Raises:
        DivergedError: the loss or the gradient is not finite; in all processes.
    """
    state.scheduler.step_update(update)
    dtype, device = forward_dtype(recipe.precision, batch.images.device), batch.images.device.type
    state.optimizer.zero_grad(set_to_none=True)
    mean = torch.zeros((), device=batch.images.device)
    terms = loss.terms if isinstance(loss, SummedLoss) else _only(loss)
    computed = terms(state.forward, batch)
    while True:
        with torch.autocast(device, dtype, enabled=dtype != torch.float32):
            if (term := next(computed, None)) is None:
                break
            value = term * batch.share
        value.backward()
        mean += value.detach()
    gradients = [weight.grad for weight in state.trained if weight.grad is not None]
    processes.sum_([mean, *gradients])
    norm = get_total_norm(gradients)
    if recipe.clip_grad:
        dispatch_clip_grad(state.trained, recipe.clip_grad)
    state.optimizer.step()
    if state.average is not None:
        state.average.update(state.model, step=update)
    number = mean.item()
    for what, size in (("loss", number), ("norm of the gradient", norm.item())):
        if not math.isfinite(size):
            raise DivergedError(f"the {what} became {size}")
    return number


def _only(loss: Loss) -> Callable[[nn.Module, Batch], Iterator[torch.Tensor]]:
    """Return a loss as a sum of one term."""

    def terms(model: nn.Module, batch: Batch) -> Iterator[torch.Tensor]:
        yield loss(model, batch)

    return terms
