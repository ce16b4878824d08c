"""What a training changes, and how it goes into a checkpoint and comes back."""

from __future__ import annotations

import copy
from dataclasses import asdict
from typing import Any, cast

import torch
from timm.utils import ModelEmaV3
from torch import nn

from core.config import TrainConfig
from training.epoch_selection import keeps
from training.metrics import Metrics
from training.optimizer import make_optimizer
from training.schedule import Schedule


class TrainingState:
    """Everything that changes while training.

    Args:
        model: the network that is trained.
        adapters: what the loss has to learn, if anything.
        recipe: how.
        steps: per epoch.
        schedule: of the learning rate.
        saved: what :meth:`dump` returned, to go on from; ``None``: the start.
    """

    def __init__(
        self,
        model: nn.Module,
        adapters: nn.Module | None,
        recipe: TrainConfig,
        steps: int,
        schedule: Schedule,
        saved: dict[str, Any] | None = None,
    ) -> None:
        self.model = model
        self.adapters = adapters
        # A checkpoint of an earlier version has no rollbacks.
        self.rollbacks: list[dict[str, Any]] = [] if saved is None else saved.get("rollbacks", [])
        if self.rollbacks:
            slower = {"learning_rate": self.rollbacks[-1]["learning_rate"]}
            recipe = recipe.model_copy(update=slower)
        self.learning_rate = recipe.learning_rate
        #: The network as a training step calls it.
        self.forward = cast(nn.Module, torch.compile(model)) if recipe.compile else model
        trained = model if adapters is None else nn.ModuleList([model, adapters])
        self.trained = list(trained.parameters())
        self.optimizer = make_optimizer(trained, recipe)
        self.scheduler = schedule(self.optimizer, recipe, steps)
        self.average = (
            ModelEmaV3(model, decay=recipe.average, use_warmup=True) if recipe.average else None
        )
        self.history: list[dict[str, float]] = []
        self.kept_epoch = 0
        self.kept_val = Metrics(0.0, 0.0, 0.0, (), ())
        self.kept_weights: dict[str, torch.Tensor] = {}
        if saved is not None:
            self._restore(saved)

    @property
    def averaged(self) -> nn.Module:
        """The network that is validated and kept."""
        return self.model if self.average is None else self.average.module

    def finish_epoch(self, val: Metrics, record: dict[str, float], *, keep_last: bool = False) -> None:
        """Keep the weights if they validate about as well as the best, or, with ``keep_last``, anyway."""
        self.history.append(record)
        if keep_last or keeps(self.history, val.images):
            self.kept_epoch, self.kept_val = len(self.history), val
            self.kept_weights = copy.deepcopy(self.averaged.state_dict())

    def dump(self) -> dict[str, Any]:
        """Everything, as tensors and plain data; further training changes them."""
        return {
            "model": self.model.state_dict(),
            "adapters": None if self.adapters is None else self.adapters.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "average": None if self.average is None else self.average.module.state_dict(),
            "history": self.history,
            "rollbacks": self.rollbacks,
            "kept": {
                "epoch": self.kept_epoch,
                "val": asdict(self.kept_val),
                "weights": self.kept_weights,
            },
        }

    def _restore(self, saved: dict[str, Any]) -> None:
        self.model.load_state_dict(saved["model"])
        if self.adapters is not None:
            self.adapters.load_state_dict(saved["adapters"])
        self.optimizer.load_state_dict(saved["optimizer"])
        if self.average is not None:
            self.average.module.load_state_dict(saved["average"])
        self.history = saved["history"]
        kept = saved["kept"] if "kept" in saved else saved["best"]  # as an earlier version called it
        self.kept_epoch, self.kept_val = kept["epoch"], Metrics(**kept["val"])
        self.kept_weights = kept["weights"]
