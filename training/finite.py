"""Weights and outputs that are no numbers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch

from core.errors import UserError, short


def check_finite(weights: Mapping[str, torch.Tensor], path: Path) -> None:
    """Refuse weights that are NaN or infinite.

    Raises:
        UserError: names the file and the first such tensor.
    """
    for name, tensor in weights.items():
        if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
            raise UserError(
                f"{path} is damaged: {short(name)} holds NaN or infinite numbers; restore it from a "
                "copy or train it again"
            )


def check_logits(logits: np.ndarray, name: object) -> None:
    """Refuse logits that are NaN or infinite, as finite weights of absurd size give.

    Raises:
        UserError: names the network.
    """
    if not np.isfinite(logits).all():
        raise UserError(f"{name}: the network returns NaN or infinite numbers; train it again")
