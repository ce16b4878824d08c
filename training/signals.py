"""Outputs of a network for a batch: logits, pooled features, attention maps."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Literal, cast

import torch
from torch import nn
from torch.nn import functional as F

from core.errors import UserError

Kind = Literal["logits", "pooled", "attention"]

_GRID = 8  # side of attention maps
_LEVELS = 3  # depths that attention is looked at
_METHODS = ("forward_features", "forward_head", "forward_intermediates")


def with_logits(kinds: Collection[Kind]) -> tuple[Kind, ...]:
    """Return ``kinds`` behind the logits, which are always computed."""
    return ("logits", *(kind for kind in kinds if kind != "logits"))


@dataclass(frozen=True)
class Signals:
    """Outputs of a network for B images.

    Attributes:
        logits: ``(B, C)``.
        pooled: ``(B, D)``, the input of its classifier, if it was requested.
        attention: ``(B, L, 8, 8)``, see :func:`attention_of`; L is 1 to 3, the deepest last.
    """

    logits: torch.Tensor
    pooled: torch.Tensor | None = None
    attention: torch.Tensor | None = None

    def get(self, kind: Kind) -> torch.Tensor:
        """Return one of them.

        Raises:
            ValueError: it was not requested when these were computed.
        """
        value: torch.Tensor | None = getattr(self, kind)
        if value is None:
            raise ValueError(f"these signals hold no {kind}")
        return value

    def to(self, device: torch.device) -> Signals:
        """Return the signals on ``device``."""
        moved = (
            None if signal is None else signal.to(device) for signal in (self.pooled, self.attention)
        )
        return Signals(self.logits.to(device), *moved)


def signals_of(model: nn.Module, images: torch.Tensor, kinds: Collection[Kind]) -> Signals:
    """Compute signals in one forward pass.

    Args:
        model: a network of Minnow, or of timm, of any family: beyond logits it must have timm's
            ``forward_features``, ``forward_head`` and ``forward_intermediates``.
        images: ``(B, 3, r, r)``, normalised.
        kinds: requested beside the logits.

    Raises:
        UserError: the model has no such methods.
    """
    if not set(kinds) - {"logits"}:
        return Signals(at_least_fp32(model(images)))
    network = cast(Any, model)
    for name in _METHODS:
        if not hasattr(network, name):
            raise UserError(
                f"{type(model).__name__} has no {name}(), so there are no features to learn from; "
                f"choose a teacher of timm, or set loss.features to none"
            )
    attention = None
    if "attention" in kinds:
        final, maps = network.forward_intermediates(images)
        attention = attention_of(maps)
    else:
        final = network.forward_features(images)
    pooled = at_least_fp32(network.forward_head(final, pre_logits=True)) if "pooled" in kinds else None
    return Signals(at_least_fp32(network.forward_head(final)), pooled, attention)


def at_least_fp32(values: torch.Tensor) -> torch.Tensor:
    """Widen half precision to float32, as losses are computed; leave float32 and float64 as they are."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


def attention_of(maps: list[torch.Tensor]) -> torch.Tensor:
    """Return attention maps, ``(B, L, 8, 8)``: squared activations, averaged over the channels.

    Zagoruyko & Komodakis 2017, section 3.1 (F with p = 2). Taken are the last map of each of the three
    smallest sizes, or, in networks of one size such as transformers, the last one alone; each is brought
    to 8 by 8 by average pooling, so that networks of other sizes compare.

    Args:
        maps: ``(B, channels, h, w)`` each, from the first layer to the last.
    """
    last_of_size = {tuple(each.shape[2:]): each for each in maps}
    chosen = list(last_of_size.values())[-_LEVELS:]
    looks = [at_least_fp32(each).square().mean(dim=1, keepdim=True) for each in chosen]
    return torch.cat([F.adaptive_avg_pool2d(look, _GRID) for look in looks], dim=1)
