"""A fine-tuned teacher with its cached outputs."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from teachers.ensemble import TeacherEnsemble
from training.batches import Outputs
from training.metrics import Metrics


@dataclass(frozen=True)
class PreparedTeacher:
    """A fine-tuned teacher with its outputs for a training.

    Attributes:
        ensemble: one network or several, frozen.
        val: scores on validation.
        outputs: signals for every view of the recipe.
        costs: ``params`` and ``macs`` of all networks together.
        disagreement: share of training images, 0..1, that two of several teachers classify differently.
    """

    ensemble: TeacherEnsemble
    val: Metrics
    outputs: Outputs
    costs: Mapping[str, int]
    disagreement: float | None = None


def count_macs(model: nn.Module, resolution: int, *, input_channels: int = 3) -> int:
    """Return the multiply-adds of convolutions and matrix products for one image.

    Args:
        model: any network.
        resolution: side of its input, pixels.
        input_channels: channels of its input.
    """
    device = next(model.parameters()).device
    image = torch.zeros(1, input_channels, resolution, resolution, device=device)
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), counter:
        copy.deepcopy(model).eval()(image)
    return counter.get_total_flops() // 2  # torch counts a multiply-add as two operations
