"""A linear head on a frozen network: multinomial logistic regression on its pooled features."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from core.config import AugmentConfig
from core.errors import UserError
from teachers.base import PretrainedNetwork
from teachers.output_cache import cache_outputs
from training.batches import augmentation_of
from training.data.images import ImageSet
from training.evaluate import logits_of
from training.preprocess import Normalization

#: Augmented views of each training image that the head is fitted on.
VIEWS = 4
#: Weights of the squared norm, to choose from.
PENALTIES = (1.0, 0.3, 0.1, 0.03, 0.01, 3e-3, 1e-3, 3e-4, 1e-4)
_ITERATIONS = 1_000  # of L-BFGS, at most


@dataclass(frozen=True)
class FrozenBody:
    """A network without its head: its outputs are pooled features.

    Attributes:
        model: frozen, in eval mode.
        resolution: side of its input, pixels.
        normalization: of its input.
        digest: of the pretrained weights.
    """

    model: nn.Module
    resolution: int
    normalization: Normalization
    digest: str


def linear_head(model: nn.Module) -> nn.Linear:
    """Return the head of a timm network.

    Raises:
        UserError: it has none that is one linear layer.
    """
    get = getattr(model, "get_classifier", None)
    head = get() if callable(get) else None
    if not isinstance(head, nn.Linear) or head.bias is None:
        raise UserError(
            f"a {type(model).__name__} has no single linear head to train; set teacher.tune to all"
        )
    return head


def without_head(model: nn.Module) -> nn.Module:
    """Return a copy of a timm network whose outputs are its pooled features."""
    body: Any = copy.deepcopy(model)
    body.reset_classifier(0)
    return cast(nn.Module, body)


def frozen(model: nn.Module, device: torch.device) -> nn.Module:
    """Return a network in eval mode on a device, its parameters without gradients."""
    moved = model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return moved.eval().requires_grad_(False)  # type: ignore[no-any-return]


def frozen_body(pretrained: PretrainedNetwork, resolution: int, device: torch.device) -> FrozenBody:
    """Return a pretrained network without its head.

    Args:
        pretrained: takes images of ``resolution``.
        resolution: side of its input, pixels.
        device: of its copy.
    """
    network = frozen(without_head(pretrained.model), device)
    return FrozenBody(network, resolution, pretrained.normalization, pretrained.digest)


def fit_head(
    body: FrozenBody,
    data: ImageSet,
    augment: AugmentConfig,
    report: Callable[[int, int], None] | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the weight ``(C, D)`` and bias ``(C,)`` of the head whose penalty is best on validation.

    The features of the training images are cached as outputs of teachers are, for :data:`VIEWS` views.
    Where the validation images are trained on, the penalty is chosen while they are held out.

    Args:
        body: computes the features.
        data: the images.
        augment: of the training images.
        report: called with (images done, images in all) while computing features.

    Raises:
        UserError: the disk is full.
    """
    stored = cache_outputs(body, data, augmentation_of(augment, data), VIEWS, report=report)

    def seen(train: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        views = [stored.rows(view, "logits")[train].astype(np.float32) for view in range(VIEWS)]
        return np.concatenate(views), np.tile(data.labels[train], VIEWS)

    chosen_on = data.held_out or data
    val = chosen_on.splits["val"]
    of_val = logits_of(
        body.model, data, val, resolution=body.resolution, normalization=body.normalization
    )
    penalty = best_penalty(*seen(chosen_on.splits["train"]), of_val, data.labels[val])
    return logistic_regression(*seen(data.splits["train"]), penalty)


def best_penalty(
    features: np.ndarray,
    labels: np.ndarray,
    val_features: np.ndarray,
    val_labels: np.ndarray,
    penalties: Sequence[float] = PENALTIES,
) -> float:
    """Return the penalty whose head has the least cross-entropy on validation.

    Args:
        features: ``(n, D)``.
        labels: ``(n,)``, all classes.
        val_features: ``(m, D)``.
        val_labels: ``(m,)``.
        penalties: to choose from.
    """
    losses = {}
    for penalty in penalties:
        weight, bias = logistic_regression(features, labels, penalty)
        logits = F.linear(torch.from_numpy(val_features), weight, bias)
        losses[penalty] = float(F.cross_entropy(logits, torch.from_numpy(val_labels)))
    return min(losses, key=losses.__getitem__)


def logistic_regression(
    features: np.ndarray, labels: np.ndarray, penalty: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the weight ``(C, D)`` and bias ``(C,)`` that minimise the penalised cross-entropy.

    It is the mean cross-entropy plus half the penalty times the squared norm of the weight, for features
    of mean 0 and variance 1; the result is for the features as they are.

    Args:
        features: ``(n, D)``.
        labels: ``(n,)``, each of 0..C-1 at least once.
        penalty: above 0.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    scaler = StandardScaler().fit(features)
    model = LogisticRegression(C=1 / (penalty * len(labels)), max_iter=_ITERATIONS)
    model.fit(scaler.transform(features), labels)
    weight, bias = model.coef_, model.intercept_
    if len(weight) == 1:  # of two classes, it fits the difference of their logits
        weight, bias = np.concatenate([-weight, weight]) / 2, np.concatenate([-bias, bias]) / 2
    weight = weight / scaler.scale_
    return torch.tensor(weight).float(), torch.tensor(bias - weight @ scaler.mean_).float()
