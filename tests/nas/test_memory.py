"""Memory in closed form: counted by hand, and against the liveness of values in a graph."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
import torch
from torch import nn

import nas.spaces
from deploy.onnx_export import onnx_bytes
from nas.architecture import Architecture, classifier
from nas.layers import Bottleneck, Conv, Fire, InvertedResidualv2, InvertedResidualv3, MBConv
from nas.memory import peak_activations, weight_bytes
from nas.networks import build

GATED = classifier(
    32,
    (
        Conv(16, 3, 2),
        InvertedResidualv3(5, 3, 16, True, True, 1),
        MBConv(4, 24, 2, 3),
        Bottleneck(24, groups=2),
        Fire(8, 16, 16),
    ),
)
#: Operations that can write over their input.
IN_PLACE = {
    "Add", "Clip", "Div", "Flatten", "HardSigmoid", "HardSwish", "Mul", "PRelu", "Relu", "Sigmoid", "Sub"
}  # fmt: skip
#: Gates of SiLU and hard-swish, which a runtime computes together with the product.
FOLDED = {"Sigmoid", "HardSigmoid"}


def test_by_hand() -> None:
    network = classifier(8, (Conv(4, 3, 2), InvertedResidualv2(4, 2, 1)))
    # convolution 3*8*8 + 4*4*4; block: input 4*4*4 is kept beside 8*4*4 and 8*4*4
    assert peak_activations(network, 3) == max(192 + 64, 64 + 128 + 128)
    weights = 4 * 27 + 4 * 8 + 8 * 9 + 8 * 4 + 4 * 3
    channels = 4 + 8 + 8 + 4 + 3
    assert weight_bytes(network, 3, per_weight=1, per_channel=0) == weights
    assert weight_bytes(network, 3, per_weight=4, per_channel=9) == 4 * weights + 9 * channels
    swish = classifier(8, (Conv(4, 3, 2, activation="Hardswish"), Conv(5, 1)))
    more = weight_bytes(swish, 3, per_weight=1, per_channel=1, per_hard_swish=5)
    assert more == weight_bytes(swish, 3, per_weight=1, per_channel=1) + 5 * 4


def sampled() -> list[Architecture]:
    networks = [GATED]
    for name in ("mobilenet", "elastic", "macro"):
        kind, rng = nas.spaces.load(name), np.random.default_rng(3)
        space = kind((64,)) if name != "macro" else kind()
        networks += [space.decode(space.canonical(space.sample(rng))) for _ in range(4)]
    return networks


@pytest.mark.parametrize("network", sampled(), ids=lambda network: network.key[:6])
def test_against_the_graph(network: Architecture, as_loaded) -> None:
    torch.manual_seed(0)
    module = build(network, 6)
    for parameter in module.parameters():
        if parameter.ndim == 1:
            nn.init.normal_(parameter)  # equal ones would be stored once
    model = as_loaded(onnx_bytes(module, network.resolution), "BASIC")  # constants and paddings folded
    graph = onnx.shape_inference.infer_shapes(model).graph
    assert peak_activations(network, 6) == pytest.approx(live_peak(graph), rel=0.01)
    stored = sum(int(np.prod(tensor.dims)) for tensor in graph.initializer)
    constants = 2 * network.input_channels
    expected = weight_bytes(network, 6, per_weight=1, per_channel=1)
    assert expected == pytest.approx(stored - constants, rel=0.002)


def live_peak(graph: onnx.GraphProto) -> int:
    """The most numbers alive at once, where each value is freed after the node that needs it last."""
    sizes = {
        value.name: int(np.prod([dim.dim_value or 1 for dim in value.type.tensor_type.shape.dim]))
        for value in (*graph.value_info, *graph.input, *graph.output)
    }
    renamed: dict[str, str] = {}
    nodes = []
    for node in graph.node:
        inputs = [renamed.get(name, name) for name in node.input]
        if node.op_type in FOLDED:
            renamed[node.output[0]] = inputs[0]
        else:
            nodes.append((node.op_type, [name for name in inputs if name in sizes], node.output[0]))
    image = graph.input[0].name
    ends = {name: step for step, (_, inputs, _) in enumerate(nodes) for name in inputs}
    live, peak = {image: sizes[image]}, 0
    for step, (kind, inputs, output) in enumerate(nodes):
        ended = {name for name in inputs if ends[name] == step and name in live}
        in_place = kind in IN_PLACE and any(sizes[name] == sizes[output] for name in ended)
        peak = max(peak, sum(live.values()) + (0 if in_place else sizes[output]))
        for name in ended:
            del live[name]
        live[output] = sizes[output]
    return peak
