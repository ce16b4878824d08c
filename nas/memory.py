"""Memory of an architecture on a device, in closed form and without torch.

A runtime is assumed to fold batch norm into convolutions, to compute activations, additions and gates in
place, and to free a map as soon as nothing needs it any more.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import prod

from nas.architecture import Architecture
from nas.layers import Fire
from nas.operations import ADD, CONVOLUTION, POOL, SCALE, Operation, layer_operations


def weight_bytes(
    architecture: Architecture,
    num_classes: int,
    *,
    per_weight: int,
    per_channel: int,
    per_hard_swish: int = 0,
) -> int:
    """Return the bytes of all weights as a device stores them.

    Args:
        architecture: the network.
        num_classes: width of its classifier.
        per_weight: bytes of a weight.
        per_channel: bytes that each output channel of a convolution or linear layer has beside its
            weights: its bias, and scales where it is quantised.
        per_hard_swish: bytes that each of them has more where a hard-swish follows.
    """
    size = 0
    for operation in architecture.operations(num_classes):
        if operation.kind == CONVOLUTION:
            more = per_hard_swish if operation.activation == "Hardswish" else 0
            size += operation.weights * per_weight + operation.outputs[0] * (per_channel + more)
    return size


def peak_activations(architecture: Architecture, num_classes: int) -> int:
    """Return the most numbers that are alive at once while one image is classified."""
    peak = 0
    for layer, shape in zip(architecture.layers, architecture.shapes, strict=True):
        operations = layer_operations(layer, shape, num_classes)
        if isinstance(layer, Fire):
            squeeze, *expand = operations
            outputs = sum(prod(operation.outputs) for operation in expand)
            live = [prod(shape) + prod(squeeze.outputs), prod(squeeze.outputs) + outputs, 2 * outputs]
        else:
            live = [*_live(operations)]
        peak = max(peak, *live, 0)
    return peak


def _live(operations: tuple[Operation, ...]) -> Iterator[int]:
    """Yield how many numbers are alive during each operation of a block."""
    residual = prod(operations[0].inputs) if any(one.kind == ADD for one in operations) else 0
    gated = next((prod(one.inputs) for one in operations if one.kind == SCALE), 0)
    in_gate = False
    for index, operation in enumerate(operations):
        live = prod(operation.inputs) + (residual if index else 0)
        if operation.kind == SCALE:
            live, in_gate = live + operation.inputs[0], False
        elif operation.kind != ADD:
            live += prod(operation.outputs) + (gated if in_gate else 0)
        in_gate = in_gate or (bool(gated) and operation.kind == POOL)
        yield live
