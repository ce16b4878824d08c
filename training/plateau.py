"""When to stop early."""

from __future__ import annotations

from collections.abc import Mapping, Sequence


def plateaued(history: Sequence[Mapping[str, float]], patience: int) -> bool:
    """Whether the last ``patience`` epochs all failed to beat the best validation F1 before them.

    A function of the history alone, so that a resumed training stops at the same epoch.

    Args:
        history: per epoch, with its ``val_f1``.
        patience: epochs; 0: never.
    """
    scores = [epoch["val_f1"] for epoch in history]
    return 0 < patience < len(scores) and max(scores[-patience:]) <= max(scores[:-patience])
