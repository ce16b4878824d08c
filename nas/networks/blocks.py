"""The convolutional blocks of the MobileNet family."""

from __future__ import annotations

import torch
from timm.layers import SqueezeExcite
from torch import nn

from nas.layers import make_divisible


def activation_of(name: str | None) -> nn.Module:
    """The torch module called ``name``, in place where it can be; ``None`` is the identity."""
    if name is None:
        return nn.Identity()
    kind: type[nn.Module] = getattr(nn, name)
    return kind() if name in ("GELU", "Sigmoid", "Identity") else kind(inplace=True)


class ConvBnAct(nn.Sequential):
    """Convolution without bias, batch norm, activation: ``(B, C, h, w)`` to ``(B, out, h', w')``."""

    def __init__(
        self,
        channels: int,
        out: int,
        kernel: int,
        stride: int = 1,
        *,
        padding: int | None = None,
        groups: int = 1,
        activation: str | None = "ReLU",
    ) -> None:
        pad = kernel // 2 if padding is None else padding
        super().__init__(
            nn.Conv2d(channels, out, kernel, stride, pad, groups=groups, bias=False),
            nn.BatchNorm2d(out),
            activation_of(activation),
        )


class InvertedResidual(nn.Module):
    """Expand (1x1), filter (depthwise), optionally gate (squeeze-excite), project (1x1, linear).

    Source: Sandler et al. 2018, section 3.3; Howard et al. 2019, section 5.3 for the gate. The input is
    added where stride and channels allow.

    Args:
        channels: input channels.
        hidden: channels between; ``None`` leaves the expansion out.
        out: output channels.
        kernel: of the depthwise convolution.
        stride: of the depthwise convolution.
        activation: after expansion and depthwise convolution; ``None``: linear.
        squeeze_excite: gate the hidden channels.
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
        squeeze_excite: bool = False,
    ) -> None:
        super().__init__()
        width = channels if hidden is None else hidden
        parts: list[nn.Module] = []
        if hidden is not None:
            parts.append(ConvBnAct(channels, width, 1, activation=activation))
        parts.append(ConvBnAct(width, width, kernel, stride, groups=width, activation=activation))
        if squeeze_excite:
            squeezed = make_divisible(width // 4, 8)
            parts.append(SqueezeExcite(width, rd_channels=squeezed, gate_layer="hard_sigmoid"))
        parts.append(ConvBnAct(width, out, 1, activation=None))
        self.body = nn.Sequential(*parts)
        self.residual = stride == 1 and channels == out

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """``(B, channels, h, w)`` to ``(B, out, h / stride, w / stride)``."""
        result = self.body(features)
        return features + result if self.residual else result
