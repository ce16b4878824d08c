"""Class balancing: even sampling, an adjusted loss, or an adjusted trained network.

``sampler`` shows every class equally often. The other two are those of Menon et al. 2021, "Long-tail
learning via logit adjustment", https://arxiv.org/abs/2007.07314. With pi the class shares of the training
split, ``logit-adjust`` is their logit adjusted softmax cross-entropy, a loss on ``logits + tau log pi``;
``post-hoc`` is their post-hoc logit adjustment, ``logits - tau log pi`` of a network trained as usual.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from core.config import BalanceConfig
from training.data.images import ImageSet
from training.metrics import compute_metrics

#: Candidates of ``post-hoc``.
TAUS = (0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 2.0)


def class_priors(labels: np.ndarray, num_classes: int) -> np.ndarray:
    """Return the share of each class, ``(C,)`` float64, adding up to 1.

    Args:
        labels: ``(n,)`` class indices in ``0..C-1``.
        num_classes: C.

    Raises:
        ValueError: a class does not occur, so that its logarithm is not finite.
    """
    counts = np.bincount(labels, minlength=num_classes)
    if (counts == 0).any():
        raise ValueError(f"class {int(counts.argmin())} has no image: it has no prior")
    shares: np.ndarray = counts / counts.sum()
    return shares


def log_priors(data: ImageSet) -> np.ndarray:
    """Return log pi of the training split, ``(C,)`` float64."""
    logs: np.ndarray = np.log(class_priors(data.labels[data.splits["train"]], data.num_classes))
    return logs


def balanced_draw(indices: np.ndarray, labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw as many images as there are, with every class equally often, class by class.

    Where ``WeightedRandomSampler`` draws independently, this deals: class counts differ by at most one,
    and within a class no image is drawn twice more than another. A large class shows a new random part
    of itself in every epoch. Repeats within an epoch are the same view, so cached teacher outputs fit.

    Args:
        indices: ``(n,)`` images to draw from.
        labels: ``(n,)`` their classes.
        rng: of this epoch.

    Returns:
        ``(n,)`` of ``indices``, not shuffled.
    """
    groups = [indices[labels == label] for label in np.unique(labels)]
    quotas = np.full(len(groups), len(indices) // len(groups))
    quotas[rng.permutation(len(groups))[: len(indices) % len(groups)]] += 1
    drawn = [_deal(group, quota, rng) for group, quota in zip(groups, quotas.tolist(), strict=True)]
    return np.concatenate(drawn)


def _deal(group: np.ndarray, quota: int, rng: np.random.Generator) -> np.ndarray:
    rounds = [rng.permutation(group) for _ in range(math.ceil(quota / len(group)))]
    return np.concatenate(rounds)[:quota] if rounds else group[:0]


def loss_offsets(config: BalanceConfig, data: ImageSet) -> torch.Tensor | None:
    """Return the loss's offsets of the logits, ``(C,)`` float32; ``None`` without ``logit-adjust``."""
    if config.loss_tau is None:
        return None
    return torch.from_numpy(config.loss_tau * log_priors(data)).float()


def adjusted_cross_entropy(
    logits: torch.Tensor,
    targets: torch.Tensor,
    offsets: torch.Tensor | None,
    smoothing: float = 0.0,
) -> torch.Tensor:
    """Return the mean cross-entropy of ``logits + offsets`` over the batch (Menon et al. 2021).

    With ``offsets = log pi`` its minimum is at ``logits = log P(x | y)`` up to a constant per image: the
    network alone then predicts as if all classes were equally frequent.

    Smoothing gives its share to ``softmax(offsets)``, not to all classes alike: spread evenly, it would
    say of every image that it may be of a rare class more often than that class occurs, and the
    network, which is used without the offsets, would see rare classes everywhere. With equal offsets
    both are the same.

    Args:
        logits: ``(B, C)``.
        targets: ``(B,)`` int64 labels, or ``(B, C)`` class shares.
        offsets: ``(C,)``, tau log pi; ``None``: the usual cross-entropy.
        smoothing: in 0..1.
    """
    if offsets is None:
        return F.cross_entropy(logits, targets, label_smoothing=smoothing)
    offsets = offsets.to(logits)
    shares = targets if targets.ndim == 2 else F.one_hot(targets, len(offsets)).to(logits)
    shares = torch.lerp(shares, offsets.softmax(0).expand_as(shares), smoothing)
    return F.cross_entropy(logits + offsets, shares)


_TRANSPARENT = (nn.Identity, nn.Flatten, nn.AdaptiveAvgPool2d, nn.MaxPool2d, nn.Dropout)


def tune_tau(logits: np.ndarray, labels: np.ndarray, log_prior: np.ndarray) -> float:
    """Return the tau of :data:`TAUS` with the best macro-F1, the least of equals.

    Args:
        logits: ``(n, C)`` on images that were not trained on.
        labels: ``(n,)``.
        log_prior: ``(C,)`` of the training split.
    """

    def f1(tau: float) -> float:
        predictions = (logits - tau * log_prior).argmax(axis=1)
        return compute_metrics(labels, predictions, len(log_prior)).f1

    return max(TAUS, key=f1)  # the first of equals


def _is_transparent(module: nn.Module) -> bool:
    """Return whether a constant per channel passes through a layer as it is."""
    if isinstance(module, nn.AvgPool2d):  # zeros of its padding would dilute the constant
        return not module.padding or not module.count_include_pad
    return isinstance(module, _TRANSPARENT)


def subtract_from_bias(model: nn.Module, offsets: np.ndarray) -> None:
    """Subtract ``offsets`` from the last bias of ``model``, and so from its logits.

    So bundles, exports and predictions need no adjustment of their own.

    Args:
        model: ends in a linear layer or a batch norm, pooled at most; changed in place.
        offsets: ``(C,)``.

    Raises:
        ValueError: its last bias is not of that size, or something follows that is not pooling.
    """
    leaves = [module for module in model.modules() if not any(True for _ in module.children())]
    last = next((module for module in reversed(leaves) if not _is_transparent(module)), None)
    bias = last.bias if isinstance(last, nn.Linear | nn.BatchNorm2d) else None
    if bias is None or tuple(bias.shape) != offsets.shape:
        raise ValueError(f"the model does not end in a layer with {len(offsets)} biases")
    with torch.no_grad():
        bias.sub_(torch.from_numpy(offsets).to(bias))
