"""The training loop. Search trials, teachers and students all go through here."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import nn

from nas.config import TrainConfig
from training.balance import adjusted_cross_entropy
from training.batches import Batch, Batches
from training.checkpoint import load_checkpoint, save_checkpoint
from training.evaluate import logits_of, score
from training.metrics import Metrics
from training.schedule import Schedule, one_cycle
from training.state import TrainingState

#: From the network and the batch to a scalar. One that is a module is trained along with the network.
Loss = Callable[[nn.Module, Batch], torch.Tensor]


class DivergedError(Exception):
    """The loss or the outputs became infinite or NaN; the message says when."""


@dataclass(frozen=True)
class Progress:
    """Where a training is.

    Attributes:
        epoch: finished epochs.
        epochs: all epochs.
        step: finished steps of the current epoch.
        steps: steps per epoch.
        images_per_second: over the current epoch, validation excluded.
        val_f1: best so far on validation.
    """

    epoch: int
    epochs: int
    step: int
    steps: int
    images_per_second: float
    val_f1: float | None


@dataclass
class Fitted:
    """A finished training.

    Attributes:
        model: with the weights of the best epoch, in eval mode.
        best_epoch: which that was, from 1.
        val: its scores on validation.
        history: per epoch ``{"epoch", "loss", "val_f1", "seconds", "images_per_second"}``.
    """

    model: nn.Module
    best_epoch: int
    val: Metrics
    history: list[dict[str, float]] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        """Training and validation time of all epochs, interruptions excluded."""
        return sum(epoch["seconds"] for epoch in self.history)


def cross_entropy(smoothing: float, offsets: torch.Tensor | None = None) -> Loss:
    """Cross-entropy with the labels, smoothed by ``smoothing`` (Szegedy et al. 2016, section 7).

    Args:
        smoothing: in 0..1.
        offsets: ``(C,)``, added to the logits first, see ``training.balance``.
    """

    def loss(model: nn.Module, batch: Batch) -> torch.Tensor:
        return adjusted_cross_entropy(model(batch.images), batch.labels, offsets, smoothing)

    return loss


def fit(
    model: nn.Module,
    batches: Batches,
    loss: Loss,
    recipe: TrainConfig,
    *,
    schedule: Schedule = one_cycle,
    checkpoint: Path | None = None,
    identity: str = "",
    report: Callable[[Progress], None] | None = None,
) -> Fitted:
    """Train with AdamW; keep the epoch that validates best.

    Validated and kept are exponential averages of the weights, unless ``recipe.average`` is 0. Every
    epoch depends only on the state before it, the seed and its number, so a training that is resumed
    from its checkpoint ends with the same weights as one that was never interrupted. Under a schedule
    that does not depend on the number of epochs, so does one that ended and goes on with more of them.

    Args:
        model: changed in place.
        batches: the training data; their seed also seeds dropout.
        loss: what is minimised.
        recipe: epochs, learning rate and so on.
        schedule: of the learning rate.
        checkpoint: file to save to after every epoch, and to go on from where it exists.
        identity: what the checkpoint must belong to.
        report: hears of every step.

    Raises:
        DivergedError: the loss or the outputs are not finite.
        UserError: the checkpoint is damaged, foreign, or cannot be written.
        ValueError: the recipe's epochs are not decided.
    """
    if not recipe.epochs:
        raise ValueError("recipe.epochs is 0: decide it first, see training.length")
    model.to(batches.device).to(memory_format=torch.channels_last)
    for part in model.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.momentum = recipe.norm_momentum
    adapters = loss.to(batches.device) if isinstance(loss, nn.Module) else None
    state = TrainingState(model, adapters, recipe, len(batches), schedule)
    saved = load_checkpoint(checkpoint, identity) if checkpoint is not None else None
    if saved is not None:
        state.restore(saved)
    for epoch in range(len(state.history), recipe.epochs):
        started = time.perf_counter()
        mean_loss, rate = _train_epoch(state, batches, loss, epoch, recipe, report)
        val = _validate(state.averaged, batches, epoch, recipe)
        state.finish_epoch(
            val,
            {
                "epoch": epoch + 1,
                "loss": mean_loss,
                "val_f1": val.f1,
                "seconds": time.perf_counter() - started,
                "images_per_second": rate,
            },
        )
        if checkpoint is not None:
            save_checkpoint(checkpoint, {"identity": identity, **state.dump()})
        if report is not None:
            report(Progress(epoch + 1, recipe.epochs, 0, len(batches), rate, state.best_val.f1))
    state.model.load_state_dict(state.best_weights)
    return Fitted(state.model.eval(), state.best_epoch, state.best_val, state.history)


def _validate(model: nn.Module, batches: Batches, epoch: int, recipe: TrainConfig) -> Metrics:
    """Scores on validation; a step can ruin the weights after its own loss was still finite."""
    data = batches.data
    indices = data.splits["val"]
    logits = logits_of(
        model, data, indices, resolution=batches.resolution, normalization=batches.normalization
    )
    if not np.isfinite(logits).all():
        raise DivergedError(
            f"the outputs are infinite or NaN after epoch {epoch + 1}; "
            f"lower train.learning_rate ({recipe.learning_rate:g})"
        )
    return score(logits, data, indices)


def _train_epoch(
    state: TrainingState,
    batches: Batches,
    loss: Loss,
    epoch: int,
    recipe: TrainConfig,
    report: Callable[[Progress], None] | None,
) -> tuple[float, float]:
    """One pass; returns the mean loss and images per second."""
    torch.manual_seed(batches.seed * 1_000_003 + epoch)  # dropout, whatever ran before
    state.model.train()
    steps = len(batches)
    best = state.best_val.f1 if state.history else None
    started, images, total = time.perf_counter(), 0, 0.0
    for step, batch in enumerate(batches.epoch(epoch)):
        update = epoch * steps + step
        state.scheduler.step_update(update)
        value = loss(state.model, batch)
        state.optimizer.zero_grad(set_to_none=True)
        value.backward()  # type: ignore[no-untyped-call]
        state.optimizer.step()
        if state.average is not None:
            state.average.update(state.model, step=update)
        number = value.item()
        if not math.isfinite(number):
            raise DivergedError(
                f"the loss became {number} in epoch {epoch + 1}, step {step + 1}; "
                f"lower train.learning_rate ({recipe.learning_rate:g})"
            )
        total += number * len(batch.labels)
        images += len(batch.labels)
        rate = images / (time.perf_counter() - started)
        if report is not None:
            report(Progress(epoch, recipe.epochs, step + 1, steps, rate, best))
    return total / images, rate
