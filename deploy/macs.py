"""Multiply-adds of any torch network, counted while it runs."""

from __future__ import annotations

import copy

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode


def count_macs(model: nn.Module, resolution: int, *, input_channels: int = 3) -> int:
    """Multiply-adds of convolutions and matrix products for one image of ``resolution`` pixels.

    Torch's counter counts a multiply-add as two operations.
    """
    device = next(model.parameters()).device
    image = torch.zeros(1, input_channels, resolution, resolution, device=device)
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), counter:
        copy.deepcopy(model).eval()(image)
    return counter.get_total_flops() // 2
