"""Fake quantisation computes what torch's operators and a real int8 runtime compute."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from deploy.targets.onnx_runtime import OnnxRuntimeInt8
from distill.fake_quantization import (
    FakeQuantized,
    RoundedActivation,
    RoundedWeight,
)
from nas.architecture import Architecture
from nas.networks import Network, build
from nas.spaces.mobilenet import MobileNet
from training.onnx_graph import INPUT, open_session


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    return torch.rand(64, 3, 32, 32, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def network(images) -> Network:
    """A network with hard-swish and squeeze-excite whose batch norms fit the images."""
    space = MobileNet((32,))
    last = [len(decision.options) - 1 for decision in space.decisions]
    architecture = space.decode(
        [0, 0, *(0 if place % 6 in (0, 1, 2) else end for place, end in enumerate(last[2:]))]
    )
    torch.manual_seed(0)
    network = build(architecture, 5)
    for _ in range(20):
        network(images)
    return network.eval()


def test_weights_are_those_of_torch():
    weight = torch.randn(8, 3, 3, 3, generator=torch.Generator().manual_seed(0))
    scale = weight.abs().amax(dim=(1, 2, 3)) / 64
    zero = torch.zeros(8, dtype=torch.int32)
    expected = torch.fake_quantize_per_channel_affine(weight, scale, zero, 0, -64, 64)
    rounded = RoundedWeight()(weight)
    torch.testing.assert_close(rounded, expected, atol=1e-6, rtol=0)
    assert max(len(channel.unique()) for channel in rounded) <= 129


@pytest.mark.parametrize("shape", [(4, 6), (4, 6, 5, 5)])
def test_activations_are_those_of_torch(shape):
    values = torch.randn(shape, generator=torch.Generator().manual_seed(0)) + 0.3
    rounding = RoundedActivation().train()
    rounding.pace = 1.0
    rounding(values)
    low, high = values.min(), values.max()
    assert rounding.low == low and rounding.high == high
    scale = (high - low) / 255
    zero = (-low / scale).round().int()
    expected = torch.fake_quantize_per_tensor_affine(values, scale, zero, 0, 255)
    torch.testing.assert_close(rounding.eval()(values), expected, atol=1e-6, rtol=0)


def test_zero_is_exact_and_the_range_moves_only_in_training():
    rounding = RoundedActivation().train()
    rounding(torch.tensor([[1.0, 2.0]]))
    assert rounding.low == 0 and 0 < rounding.high < 2
    before = rounding.high.clone()
    rounding.eval()(torch.tensor([[50.0]]))
    assert rounding.high == before
    assert rounding(torch.zeros(1, 1)) == 0


def test_the_gradient_passes_straight_through():
    values = torch.linspace(-1, 1, 20, requires_grad=True)
    weight = values.reshape(4, 5)
    (RoundedWeight()(weight) * torch.arange(20.0).reshape(4, 5)).sum().backward()
    assert torch.equal(values.grad, torch.arange(20.0))


def test_it_takes_a_copy_and_gives_the_same_weights_back(network, images):
    before = copy.deepcopy(network.state_dict())
    rounded = FakeQuantized(network, images)
    assert not torch.equal(rounded(images), network(images))
    given = rounded.float_weights()
    assert given.keys() == before.keys()
    assert all(torch.equal(given[name], before[name]) for name in before)
    assert all(torch.equal(network.state_dict()[name], before[name]) for name in before)


def test_a_copy_of_it_has_ranges_of_its_own(network, images):
    """As the averaged weights of a training are."""
    rounded = FakeQuantized(network, images)
    other = copy.deepcopy(rounded)
    other.train()(10 * images)
    ranges = [
        [each.high.item() for each in one.modules() if isinstance(each, RoundedActivation)]
        for one in (rounded, other)
    ]
    assert len(ranges[0]) > 10 and all(a != b for a, b in zip(*ranges, strict=True))


def test_it_errs_as_an_int8_runtime_does(network, images):
    """By as much as ONNX Runtime, whose weights are on the same grid."""
    target = OnnxRuntimeInt8()
    assert target.quantization.narrow and target.quantization.per_channel
    with torch.inference_mode():
        files = target.convert(network, images[:1], images.numpy())
        session = open_session(next(iter(files.values())))
        int8 = torch.from_numpy(session.run(None, {INPUT: images.numpy()})[0])
        rounded, whole = FakeQuantized(network, images), network(images)
        error, own = (int8 - whole).norm(), (rounded(images) - whole).norm()
        for layer in rounded.modules():
            if isinstance(layer, RoundedActivation):
                layer.forward = lambda values: values
        of_weights = rounded(images)
    assert 0.7 < own / error < 1.4
    assert (of_weights - int8).norm() < 0.9 * error < 0.1 * whole.norm()


def test_every_kind_of_layer_is_rounded(tiny: Architecture):
    network = build(tiny, 4).eval()
    rounded = FakeQuantized(network, torch.rand(2, 3, tiny.resolution, tiny.resolution))
    weights = [layer for layer in rounded.modules() if isinstance(layer, (nn.Conv2d, nn.Linear))]
    assert all(hasattr(layer, "parametrizations") for layer in weights)
    assert sum(isinstance(layer, RoundedActivation) for layer in rounded.modules()) >= len(weights) - 1
