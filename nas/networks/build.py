"""Build the torch module of an architecture."""

from __future__ import annotations

import torch
from torch import nn

from nas.architecture import Architecture
from nas.layers import (
    CLASSIFIERS,
    AvgPool,
    Bottleneck,
    Conv,
    ConvClassifier,
    Dense,
    Dropout,
    Fire,
    Flatten,
    GlobalAvgPool,
    InvertedResidualv2,
    InvertedResidualv3,
    InvertedResidualv3GateFirst,
    Layer,
    Linear,
    MaxPool,
    MBConv,
)
from nas.networks import blocks
from nas.networks.blocks import ConvBnAct, Gate, InvertedResidualBlock
from nas.shapes import Shape
from nas.timm_layers import ConvBn, InvertedResidual

_HEAD = (GlobalAvgPool, Flatten, Dense, *CLASSIFIERS)


class Network(nn.Module):
    """A classifier made of an architecture's layers.

    Args:
        architecture: what to build.
        num_classes: number of logits.
    """

    def __init__(self, architecture: Architecture, num_classes: int) -> None:
        super().__init__()
        modules = [
            _module(layer, shape, num_classes)
            for layer, shape in zip(architecture.layers, architecture.shapes, strict=True)
        ]
        layers, head = architecture.layers, _head_at(architecture)
        self.body = nn.Sequential(*modules[:head])
        self.head = nn.Sequential(*modules[head:])
        self.classifier = next(
            i for i, layer in enumerate(layers[head:]) if isinstance(layer, CLASSIFIERS)
        )
        _initialise(self)

    def forward_features(self, images: torch.Tensor) -> torch.Tensor:
        """Return the feature maps before pooling.

        Args:
            images: ``(B, 3, r, r)`` float, normalised.

        Returns:
            ``(B, C, h, w)``.
        """
        return self.body(images)  # type: ignore[no-any-return]

    def forward_intermediates(self, images: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """Return the feature maps before pooling, and those after every layer, the first layer's first.

        Args:
            images: ``(B, 3, r, r)`` float, normalised.
        """
        maps = [images]
        for layer in self.body:
            maps.append(layer(maps[-1]))
        return maps[-1], maps[1:]

    def forward_head(self, features: torch.Tensor, pre_logits: bool = False) -> torch.Tensor:
        """Return logits ``(B, num_classes)`` of :meth:`forward_features`, or the classifier's input.

        Args:
            features: ``(B, C, h, w)``.
            pre_logits: stop before the classifier, at ``(B, D)``; maps are averaged.
        """
        if pre_logits:
            return _flat(self.head[: self.classifier](features))
        return _flat(self.head(features))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return logits ``(B, num_classes)`` of ``(B, 3, r, r)`` images."""
        return self.forward_head(self.body(images))


def build(architecture: Architecture, num_classes: int) -> Network:
    """Return the untrained network of ``architecture``; weights come from torch's global generator."""
    return Network(architecture, num_classes)


def names_of_layers(architecture: Architecture) -> list[str]:
    """Return the module name of each layer within the network."""
    head = _head_at(architecture)
    return [f"body.{i}" if i < head else f"head.{i - head}" for i in range(len(architecture.layers))]


def _head_at(architecture: Architecture) -> int:
    """Return the index of the first layer that is not convolutional."""
    return next(i for i, layer in enumerate(architecture.layers) if isinstance(layer, _HEAD))


def skeleton(architecture: Architecture, num_classes: int) -> Network:
    """Return the network on the meta device: no memory, no random numbers."""
    with torch.device("meta"):
        return Network(architecture, num_classes)


def _flat(features: torch.Tensor) -> torch.Tensor:
    """Return ``(B, D)``: maps ``(B, D, h, w)`` are averaged."""
    return features if features.ndim == 2 else features.mean(dim=(2, 3))


def _module(layer: Layer, shape: Shape, num_classes: int) -> nn.Module:
    channels = shape[0]
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
            return InvertedResidualBlock(
                channels,
                layer.hidden(channels) if layer.expand != 1 else None,
                layer.out,
                layer.kernel,
                layer.stride,
                activation=layer.activation,
            )
        case InvertedResidualv3():
            hidden = layer.hidden(channels)
            return InvertedResidualBlock(
                channels,
                hidden if hidden != channels else None,
                layer.out,
                layer.kernel,
                layer.stride,
                activation="Hardswish" if layer.hard_swish else "ReLU",
                gate=Gate(hidden, layer.squeezed(channels)) if layer.squeeze_excite else None,
                gate_first=isinstance(layer, InvertedResidualv3GateFirst),
            )
        case MBConv():
            hidden = layer.hidden(channels)
            return InvertedResidualBlock(
                channels,
                hidden if hidden != channels else None,
                layer.out,
                layer.kernel,
                layer.stride,
                activation="SiLU",
                gate=Gate(hidden, layer.squeezed(channels), activation="SiLU", gate="Sigmoid"),
                pads=layer.pads,
            )
        case ConvBn() | InvertedResidual():
            return _timm(layer, channels, layer.pads(shape[1]))
        case Bottleneck():
            return blocks.BottleneckBlock(
                channels,
                layer.hidden,
                layer.out,
                shortcut=layer.shortcut,
                groups=layer.groups,
                activation=layer.activation,
            )
        case Fire():
            return blocks.FireBlock(channels, layer.squeeze, layer.expand1x1, layer.expand3x3)
        case _:
            return _plain(layer, channels, num_classes)


def _timm(layer: ConvBn | InvertedResidual, channels: int, pads: tuple[int, int]) -> nn.Module:
    """Return the module of a layer with explicit numbers."""
    if isinstance(layer, InvertedResidual):
        gate = None
        if layer.gate is not None:
            width, activation = layer.hidden or channels, layer.squeeze_activation
            gate = Gate(width, layer.squeezed, activation=activation, gate=layer.gate)
        return InvertedResidualBlock(
            channels,
            layer.hidden,
            layer.out,
            layer.kernel,
            layer.stride,
            activation=layer.activation,
            gate=gate,
            pads=pads,
            residual=layer.residual,
            eps=layer.eps,
        )
    return ConvBnAct(
        channels,
        layer.out,
        layer.kernel,
        layer.stride,
        padding=pads,
        activation=layer.activation,
        eps=layer.eps,
    )


def _plain(layer: Layer, channels: int, num_classes: int) -> nn.Module:
    """Return the module of a pooling layer, linear layer or classifier."""
    match layer:
        case MaxPool():
            return nn.MaxPool2d(
                layer.kernel, layer.stride, layer.padding, layer.dilation, ceil_mode=layer.ceil_mode
            )
        case AvgPool():
            return nn.AvgPool2d(
                layer.kernel,
                layer.stride,
                layer.padding,
                ceil_mode=layer.ceil_mode,
                count_include_pad=layer.count_padding,
            )
        case Dropout():
            return nn.Dropout(layer.share)
        case GlobalAvgPool():
            return nn.AdaptiveAvgPool2d(1)
        case Flatten():
            return nn.Flatten()
        case Dense():
            return nn.Sequential(nn.Linear(channels, layer.out), blocks.activation_of(layer.activation))
        case Linear():
            return nn.Linear(channels, num_classes)
        case ConvClassifier():
            return ConvBnAct(
                channels,
                num_classes,
                layer.kernel,
                layer.stride,
                padding=layer.padding,
                activation=layer.activation,
            )
        case _:
            raise TypeError(f"{type(layer).__name__} has no module")


def _initialise(network: Network) -> None:
    """Initialise as He et al. 2015: convolutions by fan out per group, linear layers by fan in."""
    classifier = network.head[network.classifier]
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            fan_out = module.kernel_size[0] * module.kernel_size[1] * module.out_channels // module.groups
            nn.init.normal_(module.weight, 0.0, (2.0 / fan_out) ** 0.5)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.Linear):
            deviation = 0.01 if module is classifier else (2.0 / module.in_features) ** 0.5
            nn.init.normal_(module.weight, 0.0, deviation)
            nn.init.zeros_(module.bias)
