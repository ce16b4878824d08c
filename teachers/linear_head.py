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
from teachers.output_cache import cache_outputs
from training.batches import augmentation_of
from training.data.images import ImageSet
from training.evaluate import logits_of
from training.preprocess import Normalization

#: Augmented views of each training image that the head is fitted on.
VIEWS = 4
_PENALTIES = (1.0, 0.3, 0.1, 0.03, 0.01, 3e-3, 1e-3, 3e-4, 1e-4)  # the strongest first
_ITERATIONS = 200  # of L-BFGS per penalty, which starts from the head of the penalty before


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


def fit_head(
    body: FrozenBody,
    data: ImageSet,
    augment: AugmentConfig,
    report: Callable[[int, int], None] | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the weight ``(C, D)`` and bias ``(C,)`` of the head that is best on validation.

    The features of the training images are cached as outputs of teachers are, for :data:`VIEWS` views.

    Args:
        body: computes the features.
        data: the images.
        augment: of the training images.
        report: called with (images done, images in all) while computing features.

    Raises:
        UserError: the disk is full.
    """
    stored = cache_outputs(body, data, augmentation_of(augment, data), VIEWS, report=report)
    train, val = data.splits["train"], data.splits["val"]
    views = [stored.rows(view, "logits")[train].astype(np.float32) for view in range(VIEWS)]
    of_val = logits_of(
        body.model, data, val, resolution=body.resolution, normalization=body.normalization
    )
    return logistic_regression(
        torch.from_numpy(np.concatenate(views)),
        torch.from_numpy(np.tile(data.labels[train], VIEWS)),
        torch.from_numpy(of_val),
        torch.from_numpy(data.labels[val]),
        data.num_classes,
    )


def logistic_regression(
    features: torch.Tensor,
    labels: torch.Tensor,
    val_features: torch.Tensor,
    val_labels: torch.Tensor,
    num_classes: int,
    penalties: Sequence[float] = _PENALTIES,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the weight ``(C, D)`` and bias ``(C,)`` with the least cross-entropy on validation.

    Each minimises the mean cross-entropy plus half a penalty times the squared norm of the weight, for
    features of mean 0 and variance 1; the result is for the features as they are.

    Args:
        features: ``(n, D)``.
        labels: ``(n,)`` int64, 0..C-1.
        val_features: ``(m, D)``.
        val_labels: ``(m,)`` int64.
        num_classes: C.
        penalties: to choose from, the strongest first.
    """
    mean, spread = features.mean(dim=0), features.std(dim=0).clamp(min=1e-6)
    inputs, val_inputs = (features - mean) / spread, (val_features - mean) / spread
    weight = torch.zeros(num_classes, features.shape[1], requires_grad=True)
    bias = torch.zeros(num_classes, requires_grad=True)
    best, chosen = float("inf"), (weight.detach(), bias.detach())
    for penalty in penalties:
        _minimise(weight, bias, inputs, labels, penalty)
        with torch.no_grad():
            loss = float(F.cross_entropy(F.linear(val_inputs, weight, bias), val_labels))
        if loss < best:
            best, chosen = loss, (weight.detach().clone(), bias.detach().clone())
    scaled = chosen[0] / spread
    return scaled, chosen[1] - scaled @ mean


def _minimise(
    weight: torch.Tensor, bias: torch.Tensor, inputs: torch.Tensor, labels: torch.Tensor, penalty: float
) -> None:
    """Move weight and bias to the minimum of the penalised loss."""
    optimizer = torch.optim.LBFGS(
        [weight, bias], max_iter=_ITERATIONS, history_size=20, line_search_fn="strong_wolfe"
    )

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = F.cross_entropy(F.linear(inputs, weight, bias), labels)
        loss = loss + penalty / 2 * weight.square().sum()
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    optimizer.step(closure)  # type: ignore[arg-type]
