"""Which epoch's weights a training keeps."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence


def standard_error(f1: float, images: int) -> float:
    """About how far ``f1`` lies from that of endlessly many images.

    That of a share of correct answers, after two right and two wrong ones more, so that it is not 0 where
    all are right (Agresti & Coull 1998, "Approximate is better than exact for interval estimation of
    binomial proportions", https://doi.org/10.1080/00031305.1998.10480550).

    Args:
        f1: of ``images`` images, in 0..1.
        images: 1 or more.
    """
    share = (f1 * images + 2) / (images + 4)
    return math.sqrt(share * (1 - share) / (images + 4))


def keeps(history: Sequence[Mapping[str, float]], images: int) -> bool:
    """Whether the last epoch takes the place of those before it.

    The one-standard-error rule: of the epochs that validate as well as the best one but for the error of
    its score, the most trained one is kept (Breiman et al. 1984, "Classification and Regression Trees",
    section 3.4.3). The maximum of many noisy scores is mostly luck, and after few epochs no network
    is as good as its luckiest score on a dozen images. A training that gets worse by more than that
    keeps its earlier weights.

    Args:
        history: per epoch, with its ``val_f1``; asked after every epoch, the last yes counts.
        images: how many validated it.
    """
    best = max(epoch["val_f1"] for epoch in history)
    return history[-1]["val_f1"] >= best - standard_error(best, images)
