"""The state of a training, and its checkpoint: a file that is written whole or not at all."""

from __future__ import annotations

import copy
import io
import zipfile
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

import torch
from timm.utils import ModelEmaV3
from torch import nn

from core.config import TrainConfig
from core.errors import UserError, one_line
from core.files import write_bytes
from training.epoch_selection import keeps_last
from training.metrics import Metrics
from training.optimizer import Schedule, make_optimizer


class TrainingState:
    """Everything that a training changes.

    Args:
        model: the network that is trained.
        adapters: the trained part of the loss, if there is one.
        recipe: how.
        steps: per epoch.
        schedule: of the learning rate.
        saved: result of :meth:`dump` to resume; ``None``: the start.
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
        self.rollbacks: list[dict[str, Any]] = [] if saved is None else saved["rollbacks"]
        if self.rollbacks:
            slower = {"learning_rate": self.rollbacks[-1]["learning_rate"]}
            recipe = recipe.model_copy(update=slower)
        self.learning_rate = recipe.peak_rate
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
        if keep_last or keeps_last(self.history, val.images):
            self.kept_epoch, self.kept_val = len(self.history), val
            self.kept_weights = copy.deepcopy(self.averaged.state_dict())

    def dump(self) -> dict[str, Any]:
        """Return everything as tensors and plain data; further training changes them."""
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
        kept = saved["kept"]
        self.kept_epoch, self.kept_val = kept["epoch"], Metrics(**kept["val"])
        self.kept_weights = kept["weights"]


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write ``state`` (tensors and plain data) atomically.

    Raises:
        UserError: the disk is full or read-only.
    """
    buffer = io.BytesIO()
    torch.save(state, buffer)
    write_bytes(path, buffer.getvalue())


def load_checkpoint(path: Path, identity: str) -> dict[str, Any] | None:
    """Read what :func:`save_checkpoint` wrote; ``None`` if there is no file.

    Args:
        path: the file.
        identity: must equal ``state["identity"]``: what network, data and recipe it belongs to.

    Raises:
        UserError: the file is damaged, or belongs to another training.
    """
    if not path.exists():
        return None
    try:
        content = path.read_bytes()
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            if (damaged := archive.testzip()) is not None:  # torch does not look at the checksums
                raise ValueError(f"the checksum of {damaged} is wrong")
        state: dict[str, Any] = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
        saved_identity = state.get("identity")
    except Exception as error:  # zipfile, torch and pickle raise many kinds for a damaged file
        reason = one_line(error)[:120]
        raise UserError(
            f"checkpoint {path} is damaged ({type(error).__name__}: {reason}); delete it to start again"
        ) from error
    if saved_identity != identity:
        raise UserError(
            f"checkpoint {path} belongs to another network, data set or recipe; "
            f"resume with the settings it was made with, or choose another directory"
        )
    return state
