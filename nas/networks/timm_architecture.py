"""Architectures of timm's mobile networks."""

from __future__ import annotations

from typing import Any

from torch import nn

from core.errors import UserError
from nas.architecture import Architecture
from nas.layers import ACTIVATIONS, Dense, Flatten, GlobalAvgPool, Layer, Linear
from nas.timm_layers import ConvBn, InvertedResidual

_KNOWN = "tf_efficientnet_lite0, efficientnet_b0, mobilenetv2_100, mobilenetv3_large_100, mnasnet_100"
_FAMILIES = ("EfficientNet", "MobileNetV3")  # timm's classes


def architecture_from_timm(model: nn.Module, name: str, resolution: int) -> Architecture:
    """Return the architecture of a timm mobile network; it builds a network with the same outputs.

    Args:
        model: made of depthwise-separable and inverted-residual blocks; its weights do not matter.
        name: what to call it; becomes ``base``.
        resolution: side of its input, pixels.

    Raises:
        UserError: the network has something else in it; says what.
    """
    family = type(model).__name__
    if family not in _FAMILIES:
        raise UserError(
            f"{name} is no base for the space elastic: a {family} is not built of depthwise-separable "
            f"and inverted-residual blocks; choose for instance {_KNOWN}"
        )
    try:
        layers = _layers(model)
    except _UnknownPartError as error:
        raise UserError(
            f"{name} is no base for the space elastic: {error}; choose for instance {_KNOWN}"
        ) from None
    return Architecture(resolution, 3, layers, base=name)


class _UnknownPartError(Exception):
    """A part of a network that no layer record describes."""


def _layers(model: Any) -> tuple[Layer, ...]:
    layers: list[Layer] = [_conv(model.conv_stem, model.bn1, "the stem")]
    for stage, blocks in enumerate(model.blocks):
        for index, block in enumerate(blocks):
            layers.append(_block(block, f"block {stage}.{index}"))
    head = model.conv_head
    if hasattr(model, "bn2"):
        layers += [_conv(head, model.bn2, "the head"), GlobalAvgPool(), Flatten()]
    else:
        if not isinstance(model.norm_head, nn.Identity) or head.bias is None:
            raise _UnknownPartError("its head has a norm after pooling, or no bias")
        layers += [GlobalAvgPool(), Flatten(), Dense(head.out_channels, _activation(model.act2, "head"))]
    return (*layers, Linear())


def _block(block: Any, where: str) -> Layer:
    block_class = type(block).__name__
    norms: tuple[Any, ...]
    if block_class == "ConvBnAct":
        return _conv(block.conv, block.bn1, where)
    if block_class == "DepthwiseSeparableConv":
        depthwise, norms, project = block.conv_dw, (block.bn1, block.bn2), block.conv_pw
    elif block_class == "InvertedResidual":
        depthwise, norms, project = block.conv_dw, (block.bn1, block.bn2, block.bn3), block.conv_pwl
        if not _pointwise(block.conv_pw):
            raise _UnknownPartError(f"{where} expands by something else than a 1x1 convolution")
    else:
        raise _UnknownPartError(
            f"{where} is a {block_class}, not a depthwise-separable or inverted-residual block"
        )
    if not isinstance(depthwise, nn.Conv2d) or depthwise.groups != depthwise.in_channels:
        raise _UnknownPartError(f"{where} filters by something else than one depthwise convolution")
    if not isinstance(getattr(block, "aa", nn.Identity()), nn.Identity):
        raise _UnknownPartError(f"{where} blurs where it strides")
    if not _pointwise(project):
        raise _UnknownPartError(f"{where} projects by something else than a 1x1 convolution")
    activations = [_activation(norm.act, where) for norm in norms]
    if activations[-1] is not None or len(set(activations[:-1])) > 1:
        raise _UnknownPartError(f"{where} has an activation after its projection")
    plain = _conv(depthwise, norms[-2], where)
    squeezed, squeeze, gate = _gate(block.se, where)
    return InvertedResidual(
        out=project.out_channels,
        hidden=depthwise.in_channels if block_class == "InvertedResidual" else None,
        kernel=plain.kernel,
        stride=plain.stride,
        residual=bool(block.has_skip),
        activation=plain.activation,
        squeezed=squeezed,
        squeeze_activation=squeeze,
        gate=gate,
        same=plain.same,
        eps=plain.eps,
    )


def _pointwise(conv: nn.Module) -> bool:
    return isinstance(conv, nn.Conv2d) and conv.kernel_size == (1, 1) and conv.groups == 1


def _conv(conv: nn.Conv2d, norm: Any, where: str) -> ConvBn:
    kernel, stride = conv.kernel_size[0], conv.stride[0]
    same = type(conv).__name__ == "Conv2dSame"
    square = conv.kernel_size == (kernel, kernel) and conv.stride == (stride, stride)
    padded = same or conv.padding == (kernel // 2, kernel // 2)
    if not square or not padded or kernel % 2 == 0 or conv.dilation != (1, 1) or conv.bias is not None:
        raise _UnknownPartError(f"{where} has an uncommon convolution, {conv}")
    if not isinstance(norm, nn.BatchNorm2d):
        raise _UnknownPartError(f"{where} is normalised by a {type(norm).__name__}")
    activation = _activation(norm.act, where)
    return ConvBn(conv.out_channels, kernel, stride, activation, same, norm.eps)


def _gate(gate: Any, where: str) -> tuple[int, str | None, str | None]:
    if isinstance(gate, nn.Identity):
        return 0, None, None
    if type(gate).__name__ != "SqueezeExcite" or type(gate.gate).__name__ not in (
        "Sigmoid",
        "Hardsigmoid",
    ):
        raise _UnknownPartError(f"{where} has another gate than squeeze-excite")
    reduce = gate.conv_reduce
    return reduce.out_channels, _activation(gate.act1, where), type(gate.gate).__name__


def _activation(module: Any, where: str) -> str | None:
    name = {"Swish": "SiLU", "HardSwish": "Hardswish", "HardSigmoid": "Hardsigmoid"}.get(
        type(module).__name__, type(module).__name__
    )
    if name == "Identity":
        return None
    if name not in ACTIVATIONS:
        raise _UnknownPartError(f"{where} has an activation {name} that torch has not")
    return name
