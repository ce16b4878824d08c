"""The epoch whose weights a training keeps, and the epoch at which it stops early."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence


def standard_error(f1: float, images: int) -> float:
    """Return the approximate standard error of ``f1``.

    It is that of a share of correct answers, after two more correct and two more wrong ones, so that it
    is not 0 where all are correct (Agresti & Coull 1998, "Approximate is better than exact for interval
    estimation of binomial proportions", https://doi.org/10.1080/00031305.1998.10480550).

    Args:
        f1: of ``images`` images, in 0..1.
        images: 1 or more.
    """
    share = (f1 * images + 2) / (images + 4)
    return math.sqrt(share * (1 - share) / (images + 4))


def keeps_last(history: Sequence[Mapping[str, float]], images: int) -> bool:
    """Return whether the last epoch replaces the one that was kept before.

    The one-standard-error rule: of the epochs that validate as well as the best one, up to the standard
    error of its score, the last one is kept (Breiman et al. 1984, "Classification and Regression Trees",
    section 3.4.3). The maximum of many noisy scores is mostly luck, and after few epochs no network
    is as good as its luckiest score on a dozen images. A training that gets worse by more than that
    keeps its earlier weights.

    Args:
        history: per epoch, with its ``val_f1``; call this after every epoch, the last ``True`` counts.
        images: number of validation images.
    """
    best = max(epoch["val_f1"] for epoch in history)
    return history[-1]["val_f1"] >= best - standard_error(best, images)


def has_plateaued(history: Sequence[Mapping[str, float]], patience: int) -> bool:
    """Return whether the last ``patience`` epochs all failed to beat the best validation F1 before them.

    A function of the history alone, so that a resumed training stops at the same epoch.

    Args:
        history: per epoch, with its ``val_f1``.
        patience: epochs; 0: never.
    """
    scores = [epoch["val_f1"] for epoch in history]
    return 0 < patience < len(scores) and max(scores[-patience:]) <= max(scores[:-patience])
