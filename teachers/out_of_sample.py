"""Class probabilities of images by heads that did not train on them: cross-validation on frozen features.

A fine-tuned network remembers the labels of its training images, right or wrong, and so do its features.
The features here are those of the pretrained network, which has seen none of the labels.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
import torch
from torch.nn import functional as F

from teachers.linear_head import FrozenBody, best_penalty, logistic_regression
from teachers.output_cache import cache_outputs
from training.augment import PLAIN
from training.data.images import ImageSet

FOLDS = 5
_SAMPLE = 4_000  # images of a fold, at most, that the penalty is chosen on


def pooled_features(
    body: FrozenBody, data: ImageSet, report: Callable[[int, int], None] | None = None
) -> np.ndarray:
    """Return the features ``(N, D)`` float32 of all images with a label, from the cache or computed now.

    Args:
        body: computes them.
        data: without unlabelled images.
        report: called with (images done, images in all).

    Raises:
        UserError: the disk is full.
    """
    everything = data.resplit(train=np.arange(len(data.images)))
    stored = cache_outputs(body, everything, PLAIN, 1, report=report)
    features: np.ndarray = stored.rows(0, "logits").astype(np.float32)
    return features


def cross_validated(
    features: np.ndarray,
    labels: np.ndarray,
    *,
    folds: int = FOLDS,
    seed: int = 0,
    report: Callable[[int, int], None] | None = None,
) -> np.ndarray:
    """Return probabilities ``(N, C)`` float64, those of each image by a head fitted on the other folds.

    The penalty is chosen once, on the first fold.

    Args:
        features: ``(N, D)``.
        labels: ``(N,)``, of each class two images or more.
        folds: number of heads.
        seed: of the stratified cut into folds.
        report: called with (heads done, heads in all).
    """
    from sklearn.model_selection import StratifiedKFold

    cut = StratifiedKFold(folds, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a class of fewer images than folds is in some
        parts = list(cut.split(features, labels))
    rest, held_out = parts[0]
    few = np.random.default_rng(seed).permutation(held_out)[:_SAMPLE]
    penalty = best_penalty(features[rest], labels[rest], features[few], labels[few])
    logits = np.empty((len(labels), int(labels.max()) + 1), np.float32)
    for done, (rest, held_out) in enumerate(parts, start=1):
        weight, bias = logistic_regression(features[rest], labels[rest], penalty)
        logits[held_out] = F.linear(torch.from_numpy(features[held_out]), weight, bias).numpy()
        if report is not None:
            report(done, folds)
    return probabilities_of(logits)


def probabilities_of(logits: np.ndarray) -> np.ndarray:
    """Return the softmax of logits ``(n, C)``, float64."""
    probabilities: np.ndarray = torch.from_numpy(logits).double().softmax(dim=1).numpy()
    return probabilities
