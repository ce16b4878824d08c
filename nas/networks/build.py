"""Build the torch module of an architecture."""

from __future__ import annotations

import torch
from torch import nn

from nas.architecture import Architecture
from nas.layers import (
    Conv,
    Flatten,
    GlobalAvgPool,
    InvertedResidualv2,
    InvertedResidualv3,
    Layer,
    Linear,
)
from nas.networks.blocks import ConvBnAct, InvertedResidual


class Network(nn.Module):
    """A classifier made of an architecture's layers.

    Args:
        architecture: what to build.
        num_classes: number of logits.
    """

    def __init__(self, architecture: Architecture, num_classes: int) -> None:
        super().__init__()
        modules = [
            _module(layer, shape[0], num_classes)
            for layer, shape in zip(architecture.layers, architecture.shapes, strict=True)
        ]
        pool = next(i for i, layer in enumerate(architecture.layers) if isinstance(layer, GlobalAvgPool))
        self.body = nn.Sequential(*modules[:pool])
        self.head = nn.Sequential(*modules[pool:])
        _initialise(self)

    def forward_features(self, images: torch.Tensor) -> torch.Tensor:
        """Feature maps before pooling.

        Args:
            images: ``(B, 3, r, r)`` float, normalised.

        Returns:
            ``(B, C, h, w)``.
        """
        return self.body(images)  # type: ignore[no-any-return]

    def forward_intermediates(self, images: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """Feature maps before pooling, and those after every layer, the first layer's first.

        Args:
            images: ``(B, 3, r, r)`` float, normalised.
        """
        maps = [images]
        for layer in self.body:
            maps.append(layer(maps[-1]))
        return maps[-1], maps[1:]

    def forward_head(self, features: torch.Tensor, pre_logits: bool = False) -> torch.Tensor:
        """Logits ``(B, num_classes)`` of :meth:`forward_features`, or what the classifier sees of it.

        Args:
            features: ``(B, C, h, w)``.
            pre_logits: stop before the classifier, at ``(B, D)``.
        """
        head = self.head[:-1] if pre_logits else self.head
        return head(features)  # type: ignore[no-any-return]

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits ``(B, num_classes)`` of ``(B, 3, r, r)`` images."""
        return self.head(self.body(images))  # type: ignore[no-any-return]


def build(architecture: Architecture, num_classes: int) -> Network:
    """The untrained network of ``architecture``; weights come from torch's global generator."""
    return Network(architecture, num_classes)


def _module(layer: Layer, channels: int, num_classes: int) -> nn.Module:
    match layer:
        case Conv():
            return ConvBnAct(
                channels,
                layer.out,
                layer.kernel,
                layer.stride,
                padding=layer.pad,
                groups=layer.groups,
                activation=layer.activation,
            )
        case InvertedResidualv2():
            return InvertedResidual(
                channels,
                layer.hidden(channels) if layer.expand != 1 else None,
                layer.out,
                layer.kernel,
                layer.stride,
                activation=layer.activation,
            )
        case InvertedResidualv3():
            hidden = layer.hidden(channels)
            return InvertedResidual(
                channels,
                hidden if hidden != channels else None,
                layer.out,
                layer.kernel,
                layer.stride,
                activation="Hardswish" if layer.hard_swish else "ReLU",
                squeeze_excite=layer.squeeze_excite,
            )
        case GlobalAvgPool():
            return nn.AdaptiveAvgPool2d(1)
        case Flatten():
            return nn.Flatten()
        case Linear():
            return nn.Linear(channels, num_classes)


def _initialise(module: nn.Module) -> None:
    """He et al. 2015 by fan out, per group; a small normal for the classifier."""
    for part in module.modules():
        if isinstance(part, nn.Conv2d):
            fan_out = part.kernel_size[0] * part.kernel_size[1] * part.out_channels // part.groups
            nn.init.normal_(part.weight, 0.0, (2.0 / fan_out) ** 0.5)
            if part.bias is not None:
                nn.init.zeros_(part.bias)
        elif isinstance(part, nn.Linear):
            nn.init.normal_(part.weight, 0.0, 0.01)
            nn.init.zeros_(part.bias)
