"""Parameters and multiply-adds of an architecture, in closed form and without torch.

Counted as the field counts them: one multiply-add per weight and output position for convolutions and
linear layers; batch norm, activations, pooling and additions count no multiply-adds; parameters are the
trainable ones (weights, biases, batch norm's scale and shift). The convention reproduces the ``params``
and ``flops`` columns of NAS-Bench-Macro (Su et al., CVPR 2021).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from nas.architecture import Architecture
from nas.layers import (
    Conv,
    Flatten,
    GlobalAvgPool,
    InvertedResidualv2,
    InvertedResidualv3,
    Layer,
    Linear,
    Shape,
    make_divisible,
    output_shape,
)


@dataclass(frozen=True)
class Cost:
    """What a network costs.

    Attributes:
        params: trainable parameters.
        macs: multiply-adds for one image.
    """

    params: int
    macs: int

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.params + other.params, self.macs + other.macs)


def cost(architecture: Architecture, num_classes: int) -> Cost:
    """Exact cost of ``build(architecture, num_classes)``."""
    params = macs = 0
    for layer, shape in zip(architecture.layers, architecture.shapes, strict=True):
        each = layer_cost(layer, shape, num_classes)
        params += each.params
        macs += each.macs
    return Cost(params, macs)


@lru_cache(1 << 15)  # a search asks for the same few thousand again and again
def layer_cost(layer: Layer, shape: Shape, num_classes: int) -> Cost:
    """Cost of one layer that takes ``shape`` (channels, height, width)."""
    channels = shape[0]
    out, height, width = output_shape(layer, shape)
    match layer:
        case Conv():
            return _conv(channels, out, layer.kernel, layer.groups, height * width)
        case InvertedResidualv2():
            hidden = layer.hidden(channels)
            expansion = _expansion(channels, hidden, shape, needed=layer.expand != 1)
            return expansion + _depthwise_projection(hidden, out, layer.kernel, height * width)
        case InvertedResidualv3():
            hidden = layer.hidden(channels)
            expansion = _expansion(channels, hidden, shape, needed=hidden != channels)
            gate = _squeeze_excite(hidden) if layer.squeeze_excite else Cost(0, 0)
            body = _depthwise_projection(hidden, out, layer.kernel, height * width)
            return expansion + body + gate
        case Linear():
            return Cost((channels + 1) * num_classes, channels * num_classes)
        case GlobalAvgPool() | Flatten():
            return Cost(0, 0)


def _conv(channels: int, out: int, kernel: int, groups: int, positions: int) -> Cost:
    weights = channels // groups * out * kernel * kernel
    return Cost(weights + 2 * out, weights * positions)


def _expansion(channels: int, hidden: int, shape: Shape, *, needed: bool) -> Cost:
    return _conv(channels, hidden, 1, 1, shape[1] * shape[2]) if needed else Cost(0, 0)


def _depthwise_projection(hidden: int, out: int, kernel: int, positions: int) -> Cost:
    depthwise = _conv(hidden, hidden, kernel, hidden, positions)
    return depthwise + _conv(hidden, out, 1, 1, positions)


def _squeeze_excite(hidden: int) -> Cost:
    """Two 1x1 convolutions with bias on the pooled features."""
    squeezed = make_divisible(hidden // 4, 8)
    weights = 2 * hidden * squeezed
    return Cost(weights + squeezed + hidden, weights)
