"""The convolutional blocks of the MobileNet family."""

from __future__ import annotations

from inspect import signature
from typing import Any

import torch
from timm.layers import SqueezeExcite
from torch import nn
from torch.nn import functional as F

from nas.timm_layers import EPS


def activation_of(name: str | None) -> nn.Module:
    """Return the torch module called ``name``, in place where possible; ``None`` is the identity."""
    if name is None:
        return nn.Identity()
    module: type[nn.Module] = getattr(nn, name)
    return module(inplace=True) if "inplace" in signature(module).parameters else module()


class StridedPointwise(nn.Conv2d):
    """A 1x1 convolution with stride, computed without stride on every ``stride``-th pixel.

    The gradient of a strided one with fewer input channels than a vector register holds writes outside
    its memory in oneDNN up to 3.12, in channels-last order on CPU: it crashes or never returns.
    Source: https://github.com/uxlfoundation/oneDNN/issues/6035
    """

    FEWEST = 16  # channels that are safe

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Map ``(B, C, h, w)`` to ``(B, out, h / stride, w / stride)``, rounded up."""
        stride, padding = self.stride[0], int(self.padding[0])
        padded = F.pad(features, [padding] * 4) if padding else features
        return F.conv2d(padded[:, :, ::stride, ::stride], self.weight, self.bias, groups=self.groups)


class UnevenConv(nn.Conv2d):
    """A convolution with uneven zero padding, as in TensorFlow."""

    def __init__(
        self, channels: int, out: int, kernel: int, stride: int, *, pads: tuple[int, int], **options: Any
    ) -> None:
        super().__init__(channels, out, kernel, stride, **options)
        self.pads = (*pads, *pads)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Map ``(B, C, h, w)`` to ``(B, out, h', w')``."""
        return super().forward(F.pad(features, self.pads, value=0.0))


class ConvBnAct(nn.Sequential):
    """Convolution without bias, batch norm, activation: ``(B, C, h, w)`` to ``(B, out, h', w')``.

    ``padding`` is that of every side, or before and after; ``None``: kernel // 2.
    """

    def __init__(
        self,
        channels: int,
        out: int,
        kernel: int,
        stride: int = 1,
        *,
        padding: int | tuple[int, int] | None = None,
        groups: int = 1,
        activation: str | None = "ReLU",
        eps: float = EPS,
    ) -> None:
        pad = kernel // 2 if padding is None else padding
        before, after = (pad, pad) if isinstance(pad, int) else pad
        options: dict[str, Any] = {"groups": groups, "bias": False}
        convolution: type[nn.Conv2d] = nn.Conv2d
        if before != after:
            convolution, options["pads"] = UnevenConv, (before, after)
        else:
            options["padding"] = before
            if kernel == 1 and stride > 1 and channels < StridedPointwise.FEWEST:
                convolution = StridedPointwise
        super().__init__(
            convolution(channels, out, kernel, stride, **options),
            nn.BatchNorm2d(out, eps),
            activation_of(activation),
        )


class Gate(SqueezeExcite):
    """Squeeze-excite (Hu et al. 2018, fig. 2): ``(B, C, h, w)`` times a number per image and channel.

    Args:
        channels: C.
        squeezed: channels between its two 1x1 convolutions.
        activation: between them, by its name in torch; ReLU in MobileNetV3, SiLU in EfficientNet.
        gate: ``Hardsigmoid`` in MobileNetV3, ``Sigmoid`` in EfficientNet.
    """

    def __init__(
        self, channels: int, squeezed: int, *, activation: str | None = "ReLU", gate: str = "Hardsigmoid"
    ) -> None:
        super().__init__(
            channels,
            rd_channels=squeezed,
            act_layer=nn.Identity if activation is None else getattr(nn, activation),
            gate_layer={"Sigmoid": "sigmoid", "Hardsigmoid": "hard_sigmoid"}[gate],
        )


class InvertedResidualBlock(nn.Module):
    """Inverted residual: expand (1x1), depthwise, optional squeeze-excite, project (1x1, linear).

    Source: Sandler et al. 2018, section 3.3; Howard et al. 2019, section 5.3 for the gate. The input is
    added where stride and channels allow.

    Args:
        channels: input channels.
        hidden: channels between; ``None`` leaves the expansion out.
        out: output channels.
        kernel: of the depthwise convolution.
        stride: of the depthwise convolution.
        activation: after expansion and depthwise convolution; ``None``: linear.
        gate: of the hidden channels.
        gate_first: whether the gate comes before the activation of the depthwise convolution.
        pads: zero padding before and after height and width; ``None``: kernel // 2 on every side.
        residual: whether the input is added; ``None``: where stride and channels allow.
        eps: of the batch norms.
    """

    def __init__(
        self,
        channels: int,
        hidden: int | None,
        out: int,
        kernel: int,
        stride: int,
        *,
        activation: str | None,
        gate: nn.Module | None = None,
        gate_first: bool = False,
        pads: tuple[int, int] | None = None,
        residual: bool | None = None,
        eps: float = EPS,
    ) -> None:
        super().__init__()
        width = channels if hidden is None else hidden
        parts: list[nn.Module] = []
        if hidden is not None:
            parts.append(ConvBnAct(channels, width, 1, activation=activation, eps=eps))
        parts.append(
            ConvBnAct(
                width,
                width,
                kernel,
                stride,
                padding=pads,
                groups=width,
                activation=None if gate_first else activation,
                eps=eps,
            )
        )
        if gate is not None:
            parts.append(gate)
        if gate_first:
            parts.append(activation_of(activation))
        parts.append(ConvBnAct(width, out, 1, activation=None, eps=eps))
        self.body = nn.Sequential(*parts)
        fits = stride == 1 and channels == out
        self.residual = fits if residual is None else residual

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Map ``(B, channels, h, w)`` to ``(B, out, h', w')``."""
        result = self.body(features)
        return features + result if self.residual else result


class BottleneckBlock(nn.Module):
    """1x1, then 3x3 convolution, optional shortcut: ``(B, channels, h, w)`` to ``(B, out, h, w)``."""

    def __init__(
        self, channels: int, hidden: int, out: int, *, shortcut: bool, groups: int, activation: str | None
    ) -> None:
        super().__init__()
        self.body = nn.Sequential(
            ConvBnAct(channels, hidden, 1, activation=activation),
            ConvBnAct(hidden, out, 3, groups=groups),
        )
        self.residual = shortcut and channels == out

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Apply the block."""
        result = self.body(features)
        return features + result if self.residual else result


class FireBlock(nn.Module):
    """SqueezeNet's fire module: squeeze, then 1x1 and 3x3 side by side (Iandola et al. 2016, fig. 1).

    ``(B, channels, h, w)`` to ``(B, expand1x1 + expand3x3, h, w)``.
    """

    def __init__(self, channels: int, squeeze: int, expand1x1: int, expand3x3: int) -> None:
        super().__init__()
        self.squeeze = nn.Sequential(nn.Conv2d(channels, squeeze, 1), nn.ReLU(inplace=True))
        self.expand1x1 = nn.Sequential(nn.Conv2d(squeeze, expand1x1, 1), nn.ReLU(inplace=True))
        self.expand3x3 = nn.Sequential(nn.Conv2d(squeeze, expand3x3, 3, padding=1), nn.ReLU(inplace=True))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Apply the block."""
        squeezed = self.squeeze(features)
        return torch.cat([self.expand1x1(squeezed), self.expand3x3(squeezed)], dim=1)
