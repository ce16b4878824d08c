"""Parameters and multiply-adds of an architecture, in closed form and without torch."""

from __future__ import annotations

from nas.architecture import Architecture
from nas.layer_cost import Cost, layer_cost

__all__ = ["Cost", "cost"]


def cost(architecture: Architecture, num_classes: int) -> Cost:
    """Return the exact cost of ``build(architecture, num_classes)``."""
    params = macs = 0
    for layer, shape in zip(architecture.layers, architecture.shapes, strict=True):
        layer_total = layer_cost(layer, shape, num_classes)
        params += layer_total.params
        macs += layer_total.macs
    return Cost(params, macs)
