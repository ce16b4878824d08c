"""Significance of the selection: does the study tell its networks apart, or is the best one luck?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import median

from nas.objectives import Objectives
from nas.trial import Trial

_LEVEL = 0.05  # probability that the best of so many guessing networks exceeds the bound
_QUALITY = ("f1", "accuracy", "balanced_accuracy", "score")
_MIN_NETWORKS = 3  # of fewer, the median says nothing


def insignificance(trials: Sequence[Trial], objectives: Objectives, images: Sequence[int]) -> str | None:
    """One-line reason why the selection is not significant, or None.

    First reason: the best balanced accuracy is within reach of the best of as many guessing networks.
    Whatever the classes' shares and whatever it guesses, a network that ignores its input has a balanced
    accuracy of 1 / C on average; the bound is the 95 % quantile for uniform guesses (binomial,
    Bonferroni).

    Second, where quality is a goal: validation F1 of the best and the median network differ by less than
    the binomial standard error of the best. For both, n images in classes of unequal size count as
    C^2 / sum(1 / n_c) images, at most n, since macro means give each class the same weight.

    Args:
        trials: of the study; those without f1 and balanced_accuracy are left out.
        objectives: of the study.
        images: validation images of each class.
    """
    measured = [
        trial.metrics
        for trial in objectives.compared(trials)
        if trial.metrics is not None and {"f1", "balanced_accuracy"} <= trial.metrics.keys()
    ]
    counts = [count for count in images if count]
    if not measured or len(counts) < 2:
        return None
    effective = len(counts) ** 2 / sum(1 / count for count in counts)
    best = max(metrics["f1"] for metrics in measured)
    recall = max(metrics["balanced_accuracy"] for metrics in measured)
    if recall <= chance_bound(len(counts), effective, len(measured)):
        return (
            f"the best network is not significantly better than guessing (balanced accuracy {recall:.2f} "
            f"on {sum(counts)} validation images, chance {1 / len(counts):.2f}), so the choice is luck; "
            f"give the trials more epochs, or the data more images or fewer classes"
        )
    middle = median(metrics["f1"] for metrics in measured)
    error = math.sqrt(best * (1 - best) / effective)
    if len(measured) >= _MIN_NETWORKS and {*_QUALITY} & {*objectives.names} and best - middle < error:
        return (
            f"on {sum(counts)} validation images, F1 of the best network ({best:.3f}) and the median one "
            f"({middle:.3f}) differ by less than the standard error ({error:.3f}), so the choice is "
            f"mostly luck; more images or confirmations help, more epochs may, or pick the smallest"
        )
    return None


def chance_bound(classes: int, images: float, networks: int) -> float:
    """Return the balanced accuracy that the best of so many guessing networks exceeds in 5 % of cases.

    That share is an upper bound (Bonferroni).

    Args:
        classes: C.
        images: effective number of validation images.
        networks: number of compared networks.
    """
    from scipy.stats import binom

    count = round(images)
    return float(binom.isf(_LEVEL / networks, count, 1 / classes)) / count
