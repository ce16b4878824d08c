"""Where training runs, and how precisely."""

from __future__ import annotations

import torch


def pick_device() -> torch.device:
    """This process's GPU (the first, unless several processes were launched), else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def forward_dtype(precision: str, device: torch.device) -> torch.dtype:
    """What the forward pass computes with, given ``TrainConfig.precision``."""
    if precision == "auto":
        able = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
        return torch.bfloat16 if able else torch.float32
    return torch.bfloat16 if precision == "bfloat16" else torch.float32
