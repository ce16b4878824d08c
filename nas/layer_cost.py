"""Parameters and multiply-adds of a layer, in closed form and without torch.

Counted as the field counts them: one multiply-add per weight and output position for convolutions and
linear layers; batch norm, activations, pooling and additions count no multiply-adds; parameters are the
trainable ones (weights, biases, batch norm's scale and shift). The convention reproduces the ``params``
and ``flops`` columns of NAS-Bench-Macro (Su et al., CVPR 2021).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from nas.layers import Bottleneck, InvertedResidualv2, InvertedResidualv3, Layer, MBConv
from nas.operations import layer_operations
from nas.shapes import Shape
from nas.timm_layers import InvertedResidual


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


@lru_cache(1 << 15)  # a search asks for the same few thousand again and again
def layer_cost(layer: Layer, shape: Shape, num_classes: int) -> Cost:
    """Return the cost of one layer with input ``shape`` (channels, height, width)."""
    operations = layer_operations(layer, shape, num_classes)
    return Cost(
        sum(operation.weights + operation.offsets for operation in operations),
        sum(operation.macs for operation in operations),
    )


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
