"""The training loop. Search trials, teachers and students all go through here."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from core.config import TrainConfig
from training.balance import adjusted_cross_entropy
from training.batches import Batch, Batches
from training.device import keep_freed_memory
from training.epoch_selection import has_plateaued
from training.evaluate import logits_of, score_logits
from training.metrics import Metrics
from training.optimizer import Schedule, schedule_by_recipe
from training.processes import synced
from training.signals import at_least_fp32
from training.state import TrainingState, load_checkpoint, save_checkpoint
from training.step import DivergedError, Loss, OnDivergence, stop_training, train_step


@dataclass(frozen=True)
class Progress:
    """Progress of a training.

    Attributes:
        epoch: finished epochs.
        epochs: all epochs.
        step: finished steps of the current epoch.
        steps: steps per epoch.
        images_per_second: over the current epoch, validation excluded.
        val_f1: on validation, of the epoch that would be kept now; ``None`` before the first ends,
            and where the validation images are trained on.
        record: of the epoch that has just ended, as in :attr:`Fitted.history`; ``None`` within an epoch.
    """

    epoch: int
    epochs: int
    step: int
    steps: int
    images_per_second: float
    val_f1: float | None
    record: Mapping[str, float] | None = None


@dataclass
class Fitted:
    """A finished training.

    Attributes:
        model: with the weights of the kept epoch, in eval mode.
        kept_epoch: number of that epoch, from 1.
        val: its scores on validation.
        history: per epoch ``{"epoch", "loss", "val_f1", "learning_rate", "seconds",
            "images_per_second"}``; the learning rate is the peak of the schedule then.
        rollbacks: per divergence ``{"epoch", "error", "learning_rate"}``: the epoch that was repeated,
            the reason, and the peak learning rate since.
        stopped_early: whether validation stopped improving before the last epoch.
    """

    model: nn.Module
    kept_epoch: int
    val: Metrics
    history: list[dict[str, float]]
    rollbacks: list[dict[str, Any]]
    stopped_early: bool

    @property
    def seconds(self) -> float:
        """Training and validation time of all epochs, interruptions excluded."""
        return sum(epoch["seconds"] for epoch in self.history)


def cross_entropy(smoothing: float, offsets: torch.Tensor | None = None) -> Loss:
    """Return the cross-entropy with smoothed labels (Szegedy et al. 2016, section 7).

    Args:
        smoothing: in 0..1.
        offsets: ``(C,)``, added to the logits first, see ``training.balance``.
    """

    def loss(model: nn.Module, batch: Batch) -> torch.Tensor:
        return adjusted_cross_entropy(
            at_least_fp32(model(batch.images)), batch.targets, offsets, smoothing
        )

    return loss


def fit(
    model: nn.Module,
    batches: Batches,
    loss: Loss,
    recipe: TrainConfig,
    *,
    schedule: Schedule = schedule_by_recipe,
    checkpoint: Path | None = None,
    identity: str = "",
    keep_last: bool = False,
    on_divergence: OnDivergence = stop_training,
    report: Callable[[Progress], None] | None = None,
) -> Fitted:
    """Train; keep the last epoch that validates about as well as the best (``training.epoch_selection``).

    Validated and kept are exponential averages of the weights, unless ``recipe.average`` is 0. Every
    epoch depends only on the state before it, the seed and its number, so a training that is resumed
    from its checkpoint ends with the same weights as one that was never interrupted. Under a schedule
    that does not depend on the number of epochs, so does one that ended and is resumed with more of them.
    Where validation images are among the training images, the last epoch is kept and none ends it early.
    Several processes train the same network as one would, but for rounding and dropout.

    Args:
        model: changed in place; the same in all processes.
        batches: the training data, and the processes they are cut among; their seed also seeds dropout.
        loss: to minimise.
        recipe: epochs, optimiser, learning rate and so on.
        schedule: of the learning rate.
        checkpoint: file that the main process saves after every epoch; an existing one is resumed.
        identity: of the training, which the checkpoint must have.
        keep_last: keep the last epoch, however it validates.
        on_divergence: decides what happens when the loss, the gradient or the outputs are not finite. A
            rollback restores the state after the last good epoch, or the first one.
        report: called after every step.

    Raises:
        DivergedError: ``on_divergence`` raised it.
        UserError: the optimiser is unknown, or the checkpoint damaged, foreign or not to be written.
        ValueError: the recipe's epochs are not resolved.
    """
    if batches.data.held_out is not None:
        keep_last, recipe = True, recipe.model_copy(update={"patience": 0})
    if not recipe.epochs:
        raise ValueError("recipe.epochs is not resolved: see training.budget")
    keep_freed_memory()
    model.to(batches.device).to(memory_format=torch.channels_last)
    for part in model.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.momentum = recipe.norm_momentum
    adapters = loss.to(batches.device) if isinstance(loss, nn.Module) else None
    begin = partial(TrainingState, model, adapters, recipe, len(batches), schedule)
    state = begin(None if checkpoint is None else load_checkpoint(checkpoint, identity))

    def save() -> None:
        if checkpoint is not None:
            content = {"identity": identity, **state.dump()}
            batches.processes.on_main(lambda: save_checkpoint(checkpoint, content))

    while len(state.history) < recipe.epochs and not has_plateaued(state.history, recipe.patience):
        good = copy.deepcopy(state.dump())
        try:
            _run_epoch(state, batches, loss, recipe, report, keep_last)
        except DivergedError as error:
            slower = state.learning_rate * on_divergence(error, len(state.rollbacks))
            epoch = len(good["history"]) + 1
            rollback = {"epoch": epoch, "error": str(error), "learning_rate": slower}
            state = begin({**good, "rollbacks": [*good["rollbacks"], rollback]})
            save()
            continue
        save()
        if report is not None:
            record, kept = state.history[-1], _kept_f1(state, batches)
            rate, epoch = record["images_per_second"], len(state.history)
            report(Progress(epoch, recipe.epochs, 0, len(batches), rate, kept, record))
    state.model.load_state_dict(state.kept_weights)
    return Fitted(
        model=state.model.eval(),
        kept_epoch=state.kept_epoch,
        val=state.kept_val,
        history=state.history,
        rollbacks=state.rollbacks,
        stopped_early=len(state.history) < recipe.epochs,
    )


def _run_epoch(
    state: TrainingState,
    batches: Batches,
    loss: Loss,
    recipe: TrainConfig,
    report: Callable[[Progress], None] | None,
    keep_last: bool,
) -> None:
    """Train, validate and record the next epoch.

    Raises:
        DivergedError: something is not finite; the state is then spoiled.
    """
    started, epoch = time.perf_counter(), len(state.history)
    with synced(state.model, batches.processes):
        mean_loss, rate = _train_epoch(state, batches, loss, epoch, recipe, report)
    val = _validate(state.averaged, batches, epoch, state.learning_rate)
    record = {
        "epoch": epoch + 1,
        "loss": mean_loss,
        "val_f1": val.f1,
        "learning_rate": state.learning_rate,
        "seconds": time.perf_counter() - started,
        "images_per_second": rate,
    }
    state.finish_epoch(val, record, keep_last=keep_last)


def _kept_f1(state: TrainingState, batches: Batches) -> float | None:
    """Return the F1 of the kept epoch on images that are held out; ``None`` where there is none."""
    return state.kept_val.f1 if state.history and batches.data.held_out is None else None


def _validate(model: nn.Module, batches: Batches, epoch: int, learning_rate: float) -> Metrics:
    """Return scores on validation; a step can ruin the weights after its own loss was still finite."""
    data = batches.data
    indices = data.splits["val"]
    part = logits_of(
        model,
        data,
        batches.processes.part(indices),
        resolution=batches.resolution,
        normalization=batches.normalization,
    )
    logits = batches.processes.gather(part)
    if not np.isfinite(logits).all():
        raise DivergedError(
            f"the outputs are infinite or NaN after epoch {epoch + 1} at learning rate {learning_rate:g}"
        )
    return score_logits(logits, data, indices)


def _train_epoch(
    state: TrainingState,
    batches: Batches,
    loss: Loss,
    epoch: int,
    recipe: TrainConfig,
    report: Callable[[Progress], None] | None,
) -> tuple[float, float]:
    """Train for one epoch; returns the mean loss and images per second, of all processes together."""
    torch.manual_seed(batches.seed * 1_000_003 + epoch)  # dropout, whatever ran before
    state.model.train()
    steps = len(batches)
    kept = _kept_f1(state, batches)
    started, images, total = time.perf_counter(), 0, 0.0
    for step, batch in enumerate(batches.epoch(epoch)):
        try:
            value = train_step(state, batch, loss, recipe, epoch * steps + step, batches.processes)
        except DivergedError as error:
            where = f"in epoch {epoch + 1}, step {step + 1}, at learning rate {state.learning_rate:g}"
            raise DivergedError(f"{error} {where}") from None
        total += value * batch.step_size
        images += batch.step_size
        rate = images / (time.perf_counter() - started)
        if report is not None:
            report(Progress(epoch, recipe.epochs or 0, step + 1, steps, rate, kept))
    return total / images, rate
