"""The operations that a layer consists of, as a runtime executes them.

Batch norm is folded into the convolution before it, and so is an activation. Costs are sums over
operations, and a latency is predicted from them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from math import prod

from nas.layers import (
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
from nas.shapes import Shape, output_shape
from nas.timm_layers import ConvBn, InvertedResidual

CONVOLUTION, POOL, ADD, SCALE = "convolution", "pool", "add", "scale"


@dataclass(frozen=True)
class Operation:
    """One operation of a network on one image.

    Attributes:
        kind: :data:`CONVOLUTION` (a linear layer is one of 1x1 on one position), :data:`POOL`,
            :data:`ADD` of two maps, or :data:`SCALE` of a map by a number per channel.
        inputs: shape of the (first) input, ``(channels, height, width)``.
        outputs: shape of the output.
        kernel: side of the window, pixels.
        groups: of a convolution.
        offsets: trainable numbers beside the weights: biases, batch norm's, an activation's.
        activation: after it; ``None``: none.
    """

    kind: str
    inputs: Shape
    outputs: Shape
    kernel: int = 1
    groups: int = 1
    offsets: int = 0
    activation: str | None = None

    @property
    def weights(self) -> int:
        """Weights of the convolution; 0 for another operation."""
        if self.kind != CONVOLUTION:
            return 0
        return self.inputs[0] // self.groups * self.outputs[0] * self.kernel * self.kernel

    @property
    def macs(self) -> int:
        """Multiply-adds: one per weight and output position."""
        return self.weights * self.outputs[1] * self.outputs[2]

    @property
    def traffic(self) -> int:
        """Numbers read and written, without the weights."""
        return (2 if self.kind == ADD else 1) * prod(self.inputs) + prod(self.outputs)


@lru_cache(1 << 15)  # a search asks for the same few thousand again and again
def layer_operations(layer: Layer, shape: Shape, num_classes: int) -> tuple[Operation, ...]:
    """Return the operations of a layer with input ``shape`` (channels, height, width)."""
    return tuple(_operations(layer, shape, num_classes))


def _operations(layer: Layer, shape: Shape, num_classes: int) -> Iterator[Operation]:
    channels, out = shape[0], output_shape(layer, shape)
    match layer:
        case Conv():
            yield _convolution(shape, out, layer.kernel, layer.groups, layer.activation)
        case ConvBn():
            yield _convolution(shape, out, layer.kernel, 1, layer.activation)
        case InvertedResidualv2():
            hidden = None if layer.expand == 1 else layer.hidden(channels)
            yield from _inverted_residual(layer, shape, out, hidden, 0, layer.activation)
        case InvertedResidualv3():
            squeezed = layer.squeezed(channels) if layer.squeeze_excite else 0
            activation = "Hardswish" if layer.hard_swish else "ReLU"
            hidden = layer.hidden(channels)
            expanded = hidden if hidden != channels else None
            yield from _inverted_residual(layer, shape, out, expanded, squeezed, activation)
        case MBConv():
            hidden = layer.hidden(channels)
            expanded = hidden if hidden != channels else None
            squeezed = layer.squeezed(channels)
            yield from _inverted_residual(layer, shape, out, expanded, squeezed, "SiLU")
        case InvertedResidual():
            yield from _inverted_residual(
                layer, shape, out, layer.hidden, layer.squeezed, layer.activation, layer.residual
            )
        case Bottleneck():
            inner = (layer.hidden, *shape[1:])
            yield _convolution(shape, inner, 1, 1, layer.activation)
            yield _convolution(inner, out, 3, layer.groups, "ReLU")
            if layer.shortcut and channels == layer.out:
                yield Operation(ADD, out, out)
        case Fire():
            squeezed_map = (layer.squeeze, *shape[1:])
            yield _biased(shape, squeezed_map, 1, "ReLU")
            yield _biased(squeezed_map, (layer.expand1x1, *out[1:]), 1, "ReLU")
            yield _biased(squeezed_map, (layer.expand3x3, *out[1:]), 3, "ReLU")
        case Dense():
            yield _biased((channels, 1, 1), (layer.out, 1, 1), 1, layer.activation)
        case Linear():
            yield _biased((channels, 1, 1), (num_classes, 1, 1), 1)
        case ConvClassifier():
            yield _convolution(shape, (num_classes, *out[1:]), layer.kernel, 1, layer.activation)
        case GlobalAvgPool():
            yield Operation(POOL, shape, out, kernel=shape[1])
        case MaxPool() | AvgPool():
            yield Operation(POOL, shape, out, kernel=layer.kernel)
        case Flatten() | Dropout():
            pass


def _inverted_residual(
    layer: InvertedResidualv2 | InvertedResidualv3 | MBConv | InvertedResidual,
    shape: Shape,
    out: Shape,
    hidden: int | None,
    squeezed: int,
    activation: str | None,
    residual: bool | None = None,
) -> Iterator[Operation]:
    """Yield expansion, depthwise convolution, gate, projection and addition.

    Args:
        layer: with its kernel and stride.
        shape: of the input.
        out: of the output.
        hidden: channels after the expansion; ``None``: there is none.
        squeezed: channels inside the gate; 0: there is none.
        activation: after expansion and depthwise convolution.
        residual: whether the input is added; ``None``: where stride and channels allow.
    """
    width = shape[0] if hidden is None else hidden
    wide, deep = (width, *shape[1:]), (width, *out[1:])
    if hidden is not None:
        yield _convolution(shape, wide, 1, 1, activation)
    yield _convolution(wide, deep, layer.kernel, width, activation)
    if squeezed:
        yield Operation(POOL, deep, (width, 1, 1), kernel=deep[1])
        yield _biased((width, 1, 1), (squeezed, 1, 1), 1)
        yield _biased((squeezed, 1, 1), (width, 1, 1), 1)
        yield Operation(SCALE, deep, deep)
    yield _convolution(deep, out, 1, 1)
    if (layer.stride == 1 and shape[0] == out[0]) if residual is None else residual:
        yield Operation(ADD, out, out)


def _convolution(
    inputs: Shape, outputs: Shape, kernel: int, groups: int, activation: str | None = None
) -> Operation:
    """Return a convolution with batch norm, and so without bias."""
    offsets = 2 * outputs[0] + _slopes(activation)
    return Operation(CONVOLUTION, inputs, outputs, kernel, groups, offsets, activation)


def _biased(inputs: Shape, outputs: Shape, kernel: int, activation: str | None = None) -> Operation:
    """Return a convolution or linear layer with bias and without batch norm."""
    offsets = outputs[0] + _slopes(activation)
    return Operation(CONVOLUTION, inputs, outputs, kernel, 1, offsets, activation)


def _slopes(activation: str | None) -> int:
    """Return the trainable parameters of an activation."""
    return 1 if activation == "PReLU" else 0
