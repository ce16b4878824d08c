"""Output shapes of layers, and the inputs they refuse."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from core.errors import short
from nas.layers import (
    ACTIVATIONS,
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
    Layer,
    Linear,
    MaxPool,
    MBConv,
)
from nas.timm_layers import ConvBn, InvertedResidual

Shape = tuple[int, int, int]  # channels, height, width


@lru_cache(1 << 15)  # a search asks for the same few thousand again and again
def output_shape(layer: Layer, shape: Shape) -> Shape:
    """Return the shape after ``layer``; one channel of a classifier stands for all classes.

    Raises:
        ValueError: the layer cannot take ``shape``; says what was expected.
    """
    channels, height, width = shape
    match layer:
        case Conv():
            _check_activation(layer.activation)
            _check_groups(channels, layer.out, layer.groups)
            return _convolved(layer.out, shape, layer.kernel, layer.stride, 2 * layer.pad)
        case InvertedResidualv2() | InvertedResidualv3():
            if isinstance(layer, InvertedResidualv2):
                _check_activation(layer.activation)
            if layer.kernel % 2 == 0:
                raise ValueError(f"kernel must be odd, got {layer.kernel}")
            if layer.hidden(channels) < 1:
                raise ValueError(f"expand {layer.expand} leaves nothing of {channels} channels")
            return _convolved(layer.out, shape, layer.kernel, layer.stride, 2 * (layer.kernel // 2))
        case MBConv():
            layer.hidden(channels)
            return _convolved(layer.out, shape, layer.kernel, layer.stride, sum(layer.pads))
        case ConvBn():
            _check_activation(layer.activation)
            return _convolved(layer.out, shape, layer.kernel, layer.stride, sum(layer.pads(height)))
        case InvertedResidual():
            _check_inverted(layer, shape)
            return _convolved(layer.out, shape, layer.kernel, layer.stride, sum(layer.pads(height)))
        case Bottleneck():
            _check_activation(layer.activation)
            if layer.hidden < 1:
                raise ValueError(f"expansion {layer.expansion:g} leaves nothing of {layer.out} channels")
            _check_groups(layer.hidden, layer.out, layer.groups)
            return layer.out, height, width
        case Fire():
            return layer.out, height, width
        case MaxPool():
            return _pooled(layer, shape, layer.dilation * (layer.kernel - 1) + 1)
        case AvgPool():
            return _pooled(layer, shape, layer.kernel)
        case Dropout():
            return shape
        case GlobalAvgPool():
            return channels, 1, 1
        case Flatten():
            return channels * height * width, 1, 1
        case Dense():
            _check_activation(layer.activation)
            _check_flat(shape)
            return layer.out, 1, 1
        case Linear():
            _check_flat(shape)
            return 1, 1, 1
        case ConvClassifier():
            _check_activation(layer.activation)
            return _convolved(1, shape, layer.kernel, layer.stride, 2 * layer.padding)


def check_flattening(layers: Sequence[Layer]) -> None:
    """Check that feature maps and flat features reach only the layers that take them.

    Raises:
        ValueError: a linear layer has no Flatten before it, or a layer after Flatten needs feature maps.
    """
    flat = False
    for index, layer in enumerate(layers):
        if isinstance(layer, Dense | Linear):
            if not flat:
                raise ValueError(f"layer {index} (Linear) needs a flat input; put Flatten before it")
        elif isinstance(layer, Flatten):
            flat = True
        elif flat and not isinstance(layer, Dropout):
            raise ValueError(
                f"layer {index} ({type(layer).__name__}) needs feature maps; put it before Flatten"
            )


def _check_activation(name: str | None) -> None:
    """Refuse an activation that no layer can have.

    Raises:
        ValueError: unknown; lists the known ones.
    """
    if name is not None and name not in ACTIVATIONS:
        raise ValueError(f"unknown activation {short(name)}; known: {', '.join(ACTIVATIONS)}, null")


def _check_inverted(layer: InvertedResidual, shape: Shape) -> None:
    channels, height, width = shape
    for activation in (layer.activation, layer.squeeze_activation):
        _check_activation(activation)
    if layer.residual and (layer.stride != 1 or layer.out != channels):
        raise ValueError(
            f"residual needs stride 1 and as many channels as come in: {channels} here, "
            f"got stride {layer.stride} and {layer.out}"
        )
    if layer.same and height != width:
        raise ValueError(f"SAME padding needs a square input, got {height}x{width}")
    if layer.residual and layer.kernel % 2 == 0 and not layer.same:
        raise ValueError(
            f"residual needs an odd kernel, or SAME padding: {layer.kernel} changes the size"
        )


def _check_groups(channels: int, out: int, groups: int) -> None:
    if channels % groups or out % groups:
        raise ValueError(f"{channels} input and {out} output channels cannot be cut into {groups} groups")


def _check_flat(shape: Shape) -> None:
    _, height, width = shape
    if (height, width) != (1, 1):
        raise ValueError(f"needs a flat input, got {height}x{width}; put Flatten before it")


def _convolved(out: int, shape: Shape, kernel: int, stride: int, padding: int) -> Shape:
    """Return the shape after a convolution; ``padding`` is the sum of both sides."""
    _, height, width = shape
    sides = [(side + padding - kernel) // stride + 1 for side in (height, width)]
    if min(sides) < 1:
        raise ValueError(f"a {height}x{width} input is too small for kernel {kernel}")
    return out, sides[0], sides[1]


def _pooled(layer: MaxPool | AvgPool, shape: Shape, window: int) -> Shape:
    """Return the shape after pooling, as torch: in ceil mode no window starts in the padding behind."""
    channels, height, width = shape
    if 2 * layer.padding > layer.kernel:
        raise ValueError(f"padding {layer.padding} is more than half of kernel {layer.kernel}")
    sides = []
    for side in (height, width):
        room = side + 2 * layer.padding - window
        steps = -(-room // layer.stride) if layer.ceil_mode else room // layer.stride
        if layer.ceil_mode and steps * layer.stride >= side + layer.padding:
            steps -= 1
        sides.append(steps + 1)
    if min(sides) < 1 or min(height, width) + 2 * layer.padding < window:
        raise ValueError(f"a {height}x{width} input is too small for kernel {window}")
    return channels, sides[0], sides[1]
