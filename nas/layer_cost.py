"""Parameters and multiply-adds of a layer, in closed form and without torch.

Counted as the field counts them: one multiply-add per weight and output position for convolutions and
linear layers; batch norm, activations, pooling and additions count no multiply-adds; parameters are the
trainable ones (weights, biases, batch norm's scale and shift). The convention reproduces the ``params``
and ``flops`` columns of NAS-Bench-Macro (Su et al., CVPR 2021).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

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


@dataclass(frozen=True)
class Cost:
    """Parameters and multiply-adds of a network.

    Attributes:
        params: trainable parameters.
        macs: multiply-adds for one image.
    """

    params: int
    macs: int

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.params + other.params, self.macs + other.macs)


NOTHING = Cost(0, 0)


@lru_cache(1 << 15)  # a search asks for the same few thousand again and again
def layer_cost(layer: Layer, shape: Shape, num_classes: int) -> Cost:
    """Return the cost of one layer with input ``shape`` (channels, height, width)."""
    channels, *incoming = shape
    out, height, width = output_shape(layer, shape)
    before, after = incoming[0] * incoming[1], height * width
    match layer:
        case Conv():
            return _conv(channels, out, layer.kernel, layer.groups, after, layer.activation)
        case InvertedResidualv2():
            hidden, activation = layer.hidden(channels), layer.activation
            needed = layer.expand != 1
            expansion = _conv(channels, hidden, 1, 1, before, activation) if needed else NOTHING
            return expansion + _depthwise_projection(hidden, out, layer.kernel, after, activation)
        case InvertedResidualv3():
            hidden = layer.hidden(channels)
            gate = _gate(hidden, layer.squeezed(channels)) if layer.squeeze_excite else NOTHING
            expansion = _conv(channels, hidden, 1, 1, before) if hidden != channels else NOTHING
            return expansion + gate + _depthwise_projection(hidden, out, layer.kernel, after)
        case MBConv():
            hidden = layer.hidden(channels)
            expansion = _conv(channels, hidden, 1, 1, before) if hidden != channels else NOTHING
            gate = _gate(hidden, layer.squeezed(channels))
            return expansion + gate + _depthwise_projection(hidden, out, layer.kernel, after)
        case ConvBn():
            return _conv(channels, out, layer.kernel, 1, after, layer.activation)
        case InvertedResidual():
            hidden, activation = layer.hidden or channels, layer.activation
            expansion = _conv(channels, hidden, 1, 1, before, activation) if layer.hidden else NOTHING
            gate = _gate(hidden, layer.squeezed) if layer.squeezed else NOTHING
            return expansion + gate + _depthwise_projection(hidden, out, layer.kernel, after, activation)
        case Bottleneck():
            first = _conv(channels, layer.hidden, 1, 1, before, layer.activation)
            return first + _conv(layer.hidden, out, 3, layer.groups, after)
        case Fire():
            squeezed = _biased(channels, layer.squeeze, 1, before)
            wide = _biased(layer.squeeze, layer.expand3x3, 3, after)
            return squeezed + _biased(layer.squeeze, layer.expand1x1, 1, after) + wide
        case Dense():
            return _biased(channels, out, 1, 1) + Cost(_slopes(layer.activation), 0)
        case Linear():
            return _biased(channels, num_classes, 1, 1)
        case ConvClassifier():
            return _conv(channels, num_classes, layer.kernel, 1, after, layer.activation)
        case GlobalAvgPool() | Flatten() | MaxPool() | AvgPool() | Dropout():
            return NOTHING


def widest(layer: Layer, channels: int) -> int:
    """Return the most channels that a layer has at the size of its input."""
    match layer:
        case InvertedResidualv2() | InvertedResidualv3() | MBConv():
            return max(channels, layer.hidden(channels))
        case InvertedResidual():
            return max(channels, layer.hidden or 0)
        case Bottleneck():
            return max(channels, layer.hidden)
        case _:
            return channels


def _slopes(activation: str | None) -> int:
    """Return the trainable parameters of an activation."""
    return 1 if activation == "PReLU" else 0


def _conv(
    channels: int, out: int, kernel: int, groups: int, positions: int, activation: str | None = None
) -> Cost:
    weights = channels // groups * out * kernel * kernel
    return Cost(weights + 2 * out + _slopes(activation), weights * positions)


def _depthwise_projection(
    hidden: int, out: int, kernel: int, positions: int, activation: str | None = None
) -> Cost:
    depthwise = _conv(hidden, hidden, kernel, hidden, positions, activation)
    return depthwise + _conv(hidden, out, 1, 1, positions)


def _gate(hidden: int, squeezed: int) -> Cost:
    """Return the cost of squeeze-excite: two 1x1 convolutions with bias on the pooled features."""
    return _biased(hidden, squeezed, 1, 1) + _biased(squeezed, hidden, 1, 1)


def _biased(channels: int, out: int, kernel: int, positions: int) -> Cost:
    """Return the cost of a convolution or linear layer with bias and without batch norm."""
    weights = channels * out * kernel * kernel
    return Cost(weights + out, weights * positions)
