"""Distillation of a teacher that Torch-Pruning shrinks in stages, for benchmarks/pruning.py."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from given_network import Input, score_given, train_given
from torch import nn
from torch.nn.functional import cross_entropy

from core.config import StudentConfig
from deploy.latency_measurement import measure_module
from teachers.ensemble import PreparedTeacher
from teachers.finetune import Teacher
from training.data.images import ImageSet
from training.fit import Fitted
from training.preprocess import prepare
from training.views import stored

RANKINGS = ("local", "global", "isomorphic")
_STEPS = 100  # of the pruner, from all channels to none
_ROUND_TO = 8  # channels
_MOST = 0.95  # of a layer's channels that pruning takes
_SMOOTHING = 0.1  # of the gradients, as in distill.inherited_weights


@dataclass(frozen=True)
class PruningPlan:
    """How far a teacher is pruned, and how.

    Attributes:
        ranking: ``local`` takes the same share of every layer, ``global`` the least important channels
            of all, ``isomorphic`` those of all layers alike (Fang et al. 2024, arXiv:2407.04616).
        resolution: side of the input of the pruned network, pixels.
        macs: of the pruned network, at most.
        stages: of pruning; an epoch of distillation lies between two.
    """

    ranking: str
    resolution: int
    macs: int
    stages: int


def train_pruned(
    plan: PruningPlan,
    data: ImageSet,
    student: StudentConfig,
    prepared: PreparedTeacher,
    work: Path,
) -> dict[str, Any]:
    """Prune and distil a teacher as long as a student, and return its line.

    Args:
        plan: of the pruning.
        data: the images.
        student: settings of the distillation, resolved.
        prepared: the teacher, which stays as it is, with its outputs.
        work: directory of the predictions.

    Raises:
        SystemExit: as :func:`distil_pruned`.
    """
    fitted = distil_pruned(plan, data, student, prepared)
    model, sees = fitted.model.to("cpu"), input_of(plan, prepared)
    return {
        **score_given(model, sees, data, student, work),
        "latency_ms": measure_module(model, plan.resolution).median_ms,
        "seed": student.seed,
        "epochs": student.train.epochs,
        "stages": plan.stages,
        "teacher_f1": prepared.ensemble.evaluate(data, "test").f1,
        "seconds": fitted.seconds,
        "history": [epoch["val_f1"] for epoch in fitted.history],
    }


def input_of(plan: PruningPlan, prepared: PreparedTeacher) -> Input:
    """Return the input of a pruned teacher."""
    return Input(plan.resolution, prepared.ensemble.members[0].normalization)


def distil_pruned(
    plan: PruningPlan, data: ImageSet, student: StudentConfig, prepared: PreparedTeacher
) -> Fitted:
    """Prune and distil a teacher as long as a student; the history is that of all stages.

    Args:
        plan: of the pruning.
        data: the images.
        student: settings of the distillation, resolved.
        prepared: the teacher, which stays as it is, with its outputs.

    Raises:
        SystemExit: there are fewer epochs than stages, or too little can be removed.
    """
    teacher, epochs = prepared.ensemble.members[0], student.train.epochs or 0
    if epochs < plan.stages:
        raise SystemExit(f"{epochs} epochs are too few for {plan.stages} stages; choose fewer --stages")
    torch.manual_seed(student.seed)
    model = copy.deepcopy(teacher.model).requires_grad_(True)
    pruner, sees = ChannelPruner(model, plan, data, teacher, student.seed), input_of(plan, prepared)
    whole, history = pruner.macs, []
    for stage in range(1, plan.stages):
        pruner.prune(whole * (plan.macs / whole) ** (stage / plan.stages))
        between = train_given(
            model, sees, data, student, prepared.outputs, start=stage - 1, epochs=1, keep_last=True
        )
        history += between.history
    pruner.prune(plan.macs)
    start = plan.stages - 1
    fitted = train_given(model, sees, data, student, prepared.outputs, start=start, epochs=epochs - start)
    return replace(fitted, history=[*history, *fitted.history])


class ChannelPruner:
    """Torch-Pruning on one network, which is changed in place.

    Args:
        model: the network.
        plan: its ranking and resolution.
        data: its training images give the gradients.
        teacher: gives the normalisation of the input.
        seed: of the choice of those images.

    Raises:
        SystemExit: Torch-Pruning is not installed.
    """

    def __init__(
        self, model: nn.Module, plan: PruningPlan, data: ImageSet, teacher: Teacher, seed: int
    ) -> None:
        try:
            import torch_pruning
        except ImportError:
            raise SystemExit("this needs Torch-Pruning: pip install 'minnow[benchmarks]'") from None
        self._model, self._resolution, self._data = model, plan.resolution, data
        self._normalization, self._rng = teacher.normalization, np.random.default_rng(seed)
        self._device = next(model.parameters()).device
        image = torch.zeros(1, 3, plan.resolution, plan.resolution, device=self._device)
        self._positions = _positions(model, image)
        self._pruner = torch_pruning.pruner.BasePruner(
            model,
            image,
            importance=torch_pruning.importance.GroupTaylorImportance(),
            global_pruning=plan.ranking != "local",
            isomorphic=plan.ranking == "isomorphic",
            pruning_ratio=1.0,
            max_pruning_ratio=_MOST,
            iterative_steps=_STEPS,
            round_to=_ROUND_TO,
            ignored_layers=[model.get_classifier()],  # type: ignore[operator]
        )

    @property
    def macs(self) -> int:
        """Multiply-adds of one image; pruning changes no layer's number of positions."""
        return sum(count * layer.weight.numel() for layer, count in self._positions.items())

    def prune(self, macs: float) -> None:
        """Remove the least important channels until at most ``macs`` multiply-adds are left.

        Raises:
            SystemExit: too little can be removed.
        """
        changed = True
        while self.macs > macs:
            if self._pruner.current_step == _STEPS:
                raise SystemExit(f"pruning ends at {self.macs:,} MACs; choose a smaller --part")
            if changed:
                self._compute_gradients()
            changed = False
            for group in self._pruner.step(interactive=True):
                group.prune()
                changed = True
                if self.macs <= macs:
                    break
        self._model.zero_grad(set_to_none=True)

    def _compute_gradients(self) -> None:
        """Compute those of a random batch, as the library's examples do before a step."""
        train = self._data.splits["train"]
        indices = np.sort(self._rng.choice(train, min(len(train), 64), replace=False))
        images = prepare(stored(self._data, indices, self._device), self._resolution, self._normalization)
        labels = torch.from_numpy(self._data.labels[indices]).to(self._device)
        self._model.zero_grad()
        cross_entropy(self._model.eval()(images), labels, label_smoothing=_SMOOTHING).backward()


def _positions(model: nn.Module, image: torch.Tensor) -> dict[nn.Conv2d | nn.Linear, int]:
    """Return how often each convolution or linear layer applies its weights to an image."""
    positions: dict[nn.Conv2d | nn.Linear, int] = {}

    def count(layer: Any, _: Any, output: torch.Tensor) -> None:
        positions[layer] = output[0, 0].numel()

    layers = [layer for layer in model.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
    hooks = [layer.register_forward_hook(count) for layer in layers]
    with torch.no_grad():
        model.eval()(image)
    for hook in hooks:
        hook.remove()
    return positions
