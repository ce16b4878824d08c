"""The operations of a network, against its modules in PyTorch and its graph for ONNX Runtime."""

from __future__ import annotations

from collections import Counter

import numpy as np
import onnx
import pytest
import torch
from torch import nn

import nas.spaces
from deploy.onnx_export import onnx_bytes
from nas.architecture import Architecture, classifier
from nas.layers import Bottleneck, Conv, Fire, InvertedResidualv3, MBConv
from nas.networks import build
from nas.operations import ADD, CONVOLUTION, POOL, SCALE
from nas.spaces.elastic import Elastic
from nas.spaces.mobilenet import MobileNet

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


def sampled(space: nas.spaces.SearchSpace) -> Architecture:
    return space.decode(space.sample(np.random.default_rng(1)))


@pytest.mark.parametrize(
    "network",
    [GATED, sampled(Elastic((64,))), sampled(MobileNet((64,)))],
    ids=["gated", "elastic", "mobilenet"],
)
def test_they_are_those_of_the_network(network: Architecture) -> None:
    module = build(network, 5).eval()
    convolutions: Counter[tuple[int, ...]] = Counter()

    def record(layer: nn.Module, _: object, output: torch.Tensor) -> None:
        if isinstance(layer, nn.Conv2d):
            of = (layer.in_channels, layer.out_channels, layer.kernel_size[0], layer.groups)
            convolutions[(*of, output.shape[2])] += 1
        elif isinstance(layer, nn.Linear):
            convolutions[(layer.in_features, layer.out_features, 1, 1, 1)] += 1

    for part in module.modules():
        part.register_forward_hook(record)
    module(torch.zeros(1, 3, network.resolution, network.resolution))
    graph = onnx.load_from_string(onnx_bytes(build(network, 5), network.resolution)).graph
    kinds = Counter(node.op_type for node in graph.node)
    operations = list(network.operations(5))
    expected = Counter(
        (one.inputs[0], one.outputs[0], one.kernel, one.groups, one.outputs[1])
        for one in operations
        if one.kind == CONVOLUTION
    )
    assert convolutions == expected
    count = Counter(one.kind for one in operations)
    assert kinds["ReduceMean"] + kinds["GlobalAveragePool"] == count[POOL]
    assert kinds["Add"] == count[ADD]
    assert count[SCALE] == count[POOL] - 1  # a gate each, and the pooling before the classifier
