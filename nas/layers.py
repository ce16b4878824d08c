"""The layers an architecture is made of, and the rows of the model file they come from.

Each layer is a frozen record with its numbers resolved. The semantics of the rows (where a stride goes
when a row repeats, how channels round) follow the model-file schema exactly, because files written by
others must give the same networks here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

Shape = tuple[int, int, int]  # channels, height, width

ACTIVATIONS = ("ReLU", "ReLU6", "Hardswish", "Hardsigmoid", "SiLU", "Sigmoid", "GELU", "LeakyReLU")
_ALIASES = {"HardSwish": "Hardswish", "HardSigmoid": "Hardsigmoid", "Swish": "SiLU"}


@dataclass(frozen=True)
class Conv:
    """Convolution without bias, batch norm, activation (``None``: linear)."""

    out: int
    kernel: int
    stride: int = 1
    padding: int | None = None  # None: kernel // 2
    groups: int = 1
    activation: str | None = "ReLU"

    def __post_init__(self) -> None:
        """Resolve the padding, so that equal convolutions are equal records."""
        if self.padding is None:
            object.__setattr__(self, "padding", self.kernel // 2)

    @property
    def pad(self) -> int:
        """Zero padding on each side, pixels."""
        return self.kernel // 2 if self.padding is None else self.padding


@dataclass(frozen=True)
class InvertedResidualv2:
    """MobileNetV2 block (Sandler et al. 2018, fig. 4b): ReLU6, linear projection."""

    out: int
    expand: float
    stride: int
    kernel: int = 3
    activation: str | None = "ReLU6"

    def __post_init__(self) -> None:
        object.__setattr__(self, "expand", float(self.expand))  # 2 and 2.0 are one network

    def hidden(self, channels: int) -> int:
        """Channels after expansion."""
        return round_half_even(channels * self.expand)


@dataclass(frozen=True)
class InvertedResidualv3:
    """MobileNetV3 block (Howard et al. 2019, fig. 4): optional squeeze-excite and hard swish."""

    kernel: int
    expand: float
    out: int
    squeeze_excite: bool
    hard_swish: bool
    stride: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "expand", float(self.expand))
        object.__setattr__(self, "squeeze_excite", bool(self.squeeze_excite))
        object.__setattr__(self, "hard_swish", bool(self.hard_swish))

    def hidden(self, channels: int) -> int:
        """Channels after expansion, a multiple of 8."""
        return make_divisible(channels * self.expand, 8)


@dataclass(frozen=True)
class GlobalAvgPool:
    """Mean over height and width."""


@dataclass(frozen=True)
class Flatten:
    """``(C, 1, 1)`` to ``C`` features."""


@dataclass(frozen=True)
class Linear:
    """The classifier; its width is the number of classes."""


Layer = Conv | InvertedResidualv2 | InvertedResidualv3 | GlobalAvgPool | Flatten | Linear


@lru_cache(1 << 12)
def make_divisible(value: float, divisor: int = 8) -> int:
    """Round to a multiple of ``divisor``: at least it, half up, never more than 10 % down.

    Source: Sandler et al. 2018, reference implementation of MobileNetV2.
    """
    rounded = max(divisor, int(value + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * value else rounded


def round_half_even(value: float) -> int:
    """Python's own rounding, named because the schema relies on it."""
    return round(value)


@lru_cache(1 << 15)  # a search asks for the same few thousand again and again
def output_shape(layer: Layer, shape: Shape) -> Shape:
    """Shape after ``layer``.

    Raises:
        ValueError: the layer cannot take ``shape``; says what was expected.
    """
    channels, height, width = shape
    match layer:
        case Conv():
            _check_activation(layer.activation)
            if channels % layer.groups or layer.out % layer.groups:
                raise ValueError(
                    f"{channels} input and {layer.out} output channels cannot be cut into "
                    f"{layer.groups} groups"
                )
            return _convolved(layer.out, shape, layer.kernel, layer.stride, layer.pad)
        case InvertedResidualv2() | InvertedResidualv3():
            if isinstance(layer, InvertedResidualv2):
                _check_activation(layer.activation)
            if layer.kernel % 2 == 0:
                raise ValueError(f"kernel must be odd, got {layer.kernel}")
            if layer.hidden(channels) < 1:
                raise ValueError(f"expand {layer.expand} leaves nothing of {channels} channels")
            return _convolved(layer.out, shape, layer.kernel, layer.stride, layer.kernel // 2)
        case GlobalAvgPool():
            return channels, 1, 1
        case Flatten():
            return channels * height * width, 1, 1
        case Linear():
            if (height, width) != (1, 1):
                raise ValueError(f"needs a flat input, got {height}x{width}; put Flatten before it")
            return shape


def layer_from_row(row: Any, channels: int, depth: float, width: float) -> list[Layer]:
    """The layers of one ``[repeat, module, args]`` row.

    Args:
        row: as read from the file.
        channels: channels that come into the row.
        depth: ``depth_multiple``; repeats become ``max(round(repeat * depth), 1)`` where repeat > 1.
        width: ``width_multiple`` for channel arguments.

    Raises:
        ValueError: unknown module, wrong arguments; says what was expected.
    """
    if not isinstance(row, list) or len(row) != 3 or not isinstance(row[2], list):
        raise ValueError("expected [repeat, module, [args]]")
    repeat, module, args = row
    if isinstance(repeat, bool) or not isinstance(repeat, int) or repeat < 1:
        raise ValueError(f"repeat must be a whole number of at least 1, got {repeat!r}")
    if not isinstance(module, str) or module not in _READERS:
        raise ValueError(f"unknown module {module!r}; known: {', '.join(sorted(_READERS))}")
    read, least, most, usage = _READERS[module]
    if not least <= len(args) <= most:
        raise ValueError(f"{module} takes {usage}, got {len(args)} arguments")
    if repeat > 1:
        repeat = max(round(repeat * depth), 1)
    return read(args, repeat, channels, width)


def row_of_layer(layer: Layer) -> tuple[str, list[Any]]:
    """Module name and arguments that :func:`layer_from_row` reads back to ``layer``."""
    match layer:
        case Conv():
            padding = None if layer.pad == layer.kernel // 2 else layer.pad
            return "FixedConv", [
                layer.out, layer.kernel, layer.stride, padding, layer.groups, layer.activation
            ]  # fmt: skip
        case InvertedResidualv2():
            args: list[Any] = [layer.out, layer.expand, layer.stride]
            if (layer.kernel, layer.activation) != (3, "ReLU6"):
                args += [layer.kernel, layer.activation]
            return "InvertedResidualv2", args
        case InvertedResidualv3():
            flags = [int(layer.squeeze_excite), int(layer.hard_swish)]
            return "InvertedResidualv3", [
                layer.kernel, layer.expand, layer.out, *flags, layer.stride
            ]  # fmt: skip
        case _:
            return type(layer).__name__, []


def _convolved(out: int, shape: Shape, kernel: int, stride: int, padding: int) -> Shape:
    _, height, width = shape
    sides = [(side + 2 * padding - kernel) // stride + 1 for side in (height, width)]
    if min(sides) < 1:
        raise ValueError(f"a {height}x{width} input is too small for kernel {kernel}")
    return out, sides[0], sides[1]


def _conv(args: Sequence[Any], repeat: int, channels: int, width: float) -> list[Layer]:
    return _convs([make_divisible(_whole(args, 0, "out") * width), *args[1:]], repeat)


def _fixed_conv(args: Sequence[Any], repeat: int, channels: int, width: float) -> list[Layer]:
    return _convs(args, repeat)


def _convs(args: Sequence[Any], repeat: int) -> list[Layer]:
    """The schema puts the stride of repeated convolutions on the last of them."""
    out, kernel = _whole(args, 0, "out"), _whole(args, 1, "kernel")
    stride = _whole(args, 2, "stride", 1)
    padding = args[3] if len(args) > 3 else None
    if padding is not None and (type(padding) is not int or padding < 0):
        raise ValueError(f"padding must be a whole number of at least 0 or null, got {padding!r}")
    groups = _whole(args, 4, "groups", 1)
    activation = _activation(args[5] if len(args) > 5 else "ReLU")
    strides = [1] * (repeat - 1) + [stride]
    return [Conv(out, kernel, each, padding, groups, activation) for each in strides]


def _inverted_v2(args: Sequence[Any], repeat: int, channels: int, width: float) -> list[Layer]:
    out = make_divisible(_whole(args, 0, "out") * width)
    expand, stride = _positive(args, 1, "expand"), _whole(args, 2, "stride")
    kernel = _whole(args, 3, "kernel", 3)
    activation = _activation(args[4] if len(args) > 4 else "ReLU6")
    strides = [stride] + [1] * (repeat - 1)
    return [InvertedResidualv2(out, expand, each, kernel, activation) for each in strides]


def _inverted_v3(args: Sequence[Any], repeat: int, channels: int, width: float) -> list[Layer]:
    kernel, expand = _whole(args, 0, "kernel"), _positive(args, 1, "expand")
    out = make_divisible(_whole(args, 2, "out") * width)
    squeeze, hard = _flag(args, 3, "SE"), _flag(args, 4, "HS")
    stride = _whole(args, 5, "stride")
    strides = [stride] + [1] * (repeat - 1)
    return [InvertedResidualv3(kernel, expand, out, squeeze, hard, each) for each in strides]


def _linear(args: Sequence[Any], repeat: int, channels: int, width: float) -> list[Layer]:
    if args and args[0] is not None:
        _whole(args, 0, "classes")
    if len(args) > 1 and args[1] is not None:
        raise ValueError(f"the classifier gives logits: its activation must be null, got {args[1]!r}")
    return [Linear()]


def _plain(layer: Layer) -> Callable[..., list[Layer]]:
    def read(args: Sequence[Any], repeat: int, channels: int, width: float) -> list[Layer]:
        return [layer]

    return read


_Reader = Callable[[Sequence[Any], int, int, float], list[Layer]]
_CONV_USAGE = "[out, kernel, stride=1, padding=null, groups=1, activation='ReLU']"
_READERS: dict[str, tuple[_Reader, int, int, str]] = {
    "Conv": (_conv, 2, 6, _CONV_USAGE),
    "FixedConv": (_fixed_conv, 2, 6, _CONV_USAGE),
    "InvertedResidualv2": (
        _inverted_v2, 3, 5, "[out, expand, stride, kernel=3, activation='ReLU6']"
    ),
    "InvertedResidualv3": (_inverted_v3, 6, 6, "[kernel, expand, out, SE, HS, stride]"),
    "GlobalAvgPool": (_plain(GlobalAvgPool()), 0, 0, "[]"),
    "Flatten": (_plain(Flatten()), 0, 0, "[]"),
    "Linear": (_linear, 0, 2, "[classes, activation=null]"),
}  # fmt: skip


def _whole(args: Sequence[Any], index: int, name: str, default: int | None = None) -> int:
    value = args[index] if index < len(args) else default
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"{name} must be a whole number of at least 1, got {value!r}")
    return value


def _positive(args: Sequence[Any], index: int, name: str) -> float:
    value = args[index]
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
        raise ValueError(f"{name} must be a positive number, got {value!r}")
    return float(value)


def _flag(args: Sequence[Any], index: int, name: str) -> bool:
    if args[index] not in (0, 1):
        raise ValueError(f"{name} must be 0 or 1, got {args[index]!r}")
    return bool(args[index])


def _activation(name: Any) -> str | None:
    name = _ALIASES.get(name, name) if isinstance(name, str) else name
    _check_activation(name)
    return None if name is None else str(name)


def _check_activation(name: Any) -> None:
    if name is not None and name not in ACTIVATIONS:
        known = ", ".join((*ACTIVATIONS, *_ALIASES))
        raise ValueError(f"unknown activation {name!r}; known: {known}, null")
