"""Where training runs."""

from __future__ import annotations

import torch


def pick_device() -> torch.device:
    """This process's GPU (the first, unless several processes were launched), else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
