"""Readers of the model file's modules: from the arguments of a row to layers."""

from __future__ import annotations

import math
from collections.abc import Callable

from core.errors import short
from nas.layers import (
    AvgPool,
    Bottleneck,
    Conv,
    Dense,
    Dropout,
    Fire,
    Flatten,
    GlobalAvgPool,
    InvertedResidualv2,
    InvertedResidualv3,
    Layer,
    MaxPool,
    MBConv,
)
from nas.model_file.row_arguments import RowArguments
from nas.timm_layers import EPS, ConvBn, InvertedResidual

_GATE_ORDERS = ("before", "after")  # the activation; the scripts have the first where a block expands


def _convs(row: RowArguments, out: int) -> list[Layer]:
    kernel, padding = row.whole(1, "kernel"), row.padding(3)
    strides, activation = row.strides(2, last=True, default=1), row.activation(5, "ReLU")
    groups = row.whole(4, "groups", 1)
    return [Conv(out, kernel, stride, padding, groups, activation) for stride in strides]


def _conv(row: RowArguments) -> list[Layer]:
    return _convs(row, row.scaled(0))


def _fixed_conv(row: RowArguments) -> list[Layer]:
    return _convs(row, row.whole(0, "out"))


def _depthwise(row: RowArguments) -> list[Layer]:
    out, kernel, padding = row.scaled(0), row.whole(1, "kernel"), row.padding(3)
    activation = row.activation(4, "ReLU")
    incoming = [row.channels] + [out] * (row.repeat - 1)
    return [
        Conv(out, kernel, stride, padding, math.gcd(channels, out), activation)
        for channels, stride in zip(incoming, row.strides(2, last=True, default=1), strict=True)
    ]


def _inverted_v2(row: RowArguments) -> list[Layer]:
    out, expand, kernel = row.scaled(0), row.positive(1, "expand"), row.whole(3, "kernel", 3)
    activation = row.activation(4, "ReLU6")
    strides = row.strides(2, last=False)
    return [InvertedResidualv2(out, expand, stride, kernel, activation) for stride in strides]


def _inverted_v3(row: RowArguments) -> list[Layer]:
    kernel, expand, out = row.whole(0, "kernel"), row.positive(1, "expand"), row.scaled(2)
    squeeze, hard = row.flag(3, "SE"), row.flag(4, "HS")
    order = row.get(6, _GATE_ORDERS[1] if row.earlier else _GATE_ORDERS[0])
    if order not in _GATE_ORDERS:
        raise ValueError(f"gate must be {' or '.join(_GATE_ORDERS)} (the activation), got {short(order)}")
    blocks = [
        InvertedResidualv3(kernel, expand, out, squeeze, hard, stride)
        for stride in row.strides(5, last=False)
    ]
    if order == _GATE_ORDERS[1]:
        return [*blocks]
    incoming = [row.channels] + [out] * (row.repeat - 1)
    return [block.gated_before(channels) for block, channels in zip(blocks, incoming, strict=True)]


def _mbconv(row: RowArguments) -> list[Layer]:
    expand, out, kernel = row.positive(0, "expand"), row.scaled(1), row.whole(3, "kernel")
    return [MBConv(expand, out, stride, kernel) for stride in row.strides(2, last=False)]


def _bottleneck(row: RowArguments) -> list[Layer]:
    """Return the blocks; all but the last keep the input channels."""
    outs = [row.channels] * (row.repeat - 1) + [row.scaled(0)]
    shortcut, groups = row.flag(1, "shortcut", True), row.whole(2, "groups", 1)
    expansion, activation = row.positive(3, "expansion", 0.5), row.activation(4, "ReLU")
    return [Bottleneck(out, shortcut, groups, expansion, activation) for out in outs]


def _fire(row: RowArguments) -> list[Layer]:
    """Return the blocks; their channels are not scaled, as files in use expect."""
    names = ("squeeze", "expand1x1", "expand3x3")
    squeeze, one, three = (row.whole(index, name) for index, name in enumerate(names))
    return [Fire(squeeze, one, three)] * row.repeat


def _conv_bn(row: RowArguments) -> list[Layer]:
    same, eps = row.flag(4, "same", False), row.positive(5, "eps", EPS)
    out, kernel, stride = row.whole(0, "out"), row.whole(1, "kernel"), row.whole(2, "stride")
    return [ConvBn(out, kernel, stride, row.activation(3, "ReLU"), same, eps)] * row.repeat


def _inverted(row: RowArguments) -> list[Layer]:
    hidden = None if row.get(1, None) is None else row.whole(1, "hidden")
    activation = row.activation(5, "ReLU6")
    squeezed, squeeze = row.whole(6, "squeezed", 0, 0), row.activation(7, None)
    gate = row.get(8, None)
    if gate not in (("Sigmoid", "Hardsigmoid") if squeezed else (None,)):
        raise ValueError(
            f"gate must be Sigmoid or Hardsigmoid, or null where squeezed is 0, got {short(gate)}"
        )
    block = InvertedResidual(
        row.whole(0, "out"), hidden, row.whole(2, "kernel"), row.whole(3, "stride"),
        row.flag(4, "residual"), activation, squeezed, squeeze, gate,
        row.flag(9, "same", False), row.positive(10, "eps", EPS),
    )  # fmt: skip
    return [block] * row.repeat


def _max_pool(row: RowArguments) -> list[Layer]:
    kernel = row.whole(0, "kernel")
    stride = kernel if row.get(1, None) is None else row.whole(1, "stride")
    padding, dilation = row.whole(2, "padding", 0, 0), row.whole(3, "dilation", 1)
    if row.flag(4, "return_indices", False):
        raise ValueError("return_indices must be false: a network hands on the values alone")
    return [MaxPool(kernel, stride, padding, dilation, row.flag(5, "ceil_mode", False))] * row.repeat


def _avg_pool(row: RowArguments) -> list[Layer]:
    kernel = row.whole(0, "kernel")
    stride = kernel if row.get(1, None) is None else row.whole(1, "stride")
    padding, ceil_mode = row.whole(2, "padding", 0, 0), row.flag(3, "ceil_mode", False)
    counted = row.flag(4, "count_include_pad", True)
    return [AvgPool(kernel, stride, padding, ceil_mode, counted)] * row.repeat


def _dropout(row: RowArguments) -> list[Layer]:
    share = row.get(0, 0.5)
    if isinstance(share, bool) or not isinstance(share, int | float) or not 0 <= share <= 1:
        raise ValueError(f"p must be a number from 0 to 1, got {short(share)}")
    row.flag(1, "inplace", False)
    return [Dropout(share)] * row.repeat


def _global_pool(row: RowArguments) -> list[Layer]:
    if row.whole(0, "output size", 1) != 1:
        raise ValueError(f"pools to 1x1, got output size {short(row.args[0])}")
    return [GlobalAvgPool()]


def _flatten(row: RowArguments) -> list[Layer]:
    return [Flatten()]


def _linear(row: RowArguments) -> list[Layer]:
    return [Dense(row.whole(0, "out"), row.activation(1, None))]


_Reader = Callable[[RowArguments], list[Layer]]
_CONV_USAGE = "[out, kernel, stride=1, padding=null, groups=1, activation='ReLU']"
#: Module name to its reader, least and most arguments, and usage.
READERS: dict[str, tuple[_Reader, int, int, str]] = {
    "Conv": (_conv, 2, 6, _CONV_USAGE),
    "FixedConv": (_fixed_conv, 2, 6, _CONV_USAGE),
    "DWConv": (_depthwise, 2, 5, "[out, kernel, stride=1, padding=null, activation='ReLU']"),
    "InvertedResidualv2": (
        _inverted_v2, 3, 5, "[out, expand, stride, kernel=3, activation='ReLU6']"
    ),
    "InvertedResidualv3": (
        _inverted_v3, 6, 7, "[kernel, expand, out, SE, HS, stride, gate='before']"
    ),
    "MBConv": (_mbconv, 4, 4, "[expand, out, stride, kernel]"),
    "Bottleneck": (
        _bottleneck, 1, 5, "[out, shortcut=true, groups=1, expansion=0.5, activation='ReLU']"
    ),
    "Fire": (_fire, 3, 3, "[squeeze, expand1x1, expand3x3]"),
    "ConvBn": (_conv_bn, 3, 6, "[out, kernel, stride, activation='ReLU', same=false, eps=0.00001]"),
    "InvertedResidual": (
        _inverted, 5, 11,
        "[out, hidden, kernel, stride, residual, activation='ReLU6', squeezed=0, squeeze "
        "activation=null, gate=null, same=false, eps=0.00001]",
    ),
    "MaxPool": (
        _max_pool, 1, 6,
        "[kernel, stride=kernel, padding=0, dilation=1, return_indices=false, ceil_mode=false]",
    ),
    "AvgPool": (
        _avg_pool, 1, 5,
        "[kernel, stride=kernel, padding=0, ceil_mode=false, count_include_pad=true]",
    ),
    "Dropout": (_dropout, 0, 2, "[p=0.5, inplace=false]"),
    "GlobalAvgPool": (_global_pool, 0, 1, "[output size=1]"),
    "Flatten": (_flatten, 0, 0, "[]"),
    "Linear": (_linear, 0, 2, "[out, activation=null]"),
}  # fmt: skip
