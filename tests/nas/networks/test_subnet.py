"""Networks cut out of timm's: the same outputs as the whole network with the rest of it silenced."""

from __future__ import annotations

import copy
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from torch import nn

from core.errors import UserError
from nas.architecture import Architecture
from nas.layers import Dense
from nas.networks import build
from nas.networks.channel_importance import by_magnitude, by_taylor
from nas.networks.subnet import Orders, base_layers, subnet_weights
from nas.networks.timm_architecture import architecture_from_timm
from nas.spaces.elastic import Elastic
from nas.timm_layers import ConvBn, InvertedResidual

BASES = (
    "tf_efficientnet_lite0",
    "efficientnet_b0",
    "mobilenetv2_050",
    "mobilenetv3_small_050",
    "tf_mobilenetv3_small_075",
    "mnasnet_050",
    "semnasnet_075",
    "tinynet_e",
)
SIDE = 64


def whole_network(name: str) -> nn.Module:
    """With norms that are not all alike, as after a training."""
    return copy.deepcopy(_whole_network(name))


@cache
def _whole_network(name: str) -> nn.Module:
    torch.manual_seed(0)
    model = timm.create_model(name, num_classes=5).eval()
    for part in model.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.running_mean.normal_(0, 0.1)
            part.running_var.uniform_(0.5, 1.5)
            nn.init.uniform_(part.weight, 0.5, 1.5)
            nn.init.normal_(part.bias, 0, 0.1)
    return model.requires_grad_(False)


def close(one: torch.Tensor, other: torch.Tensor) -> None:
    """Equal but for rounding, which deep networks of random weights blow up."""
    assert (one - other).abs().max() <= 1e-4 * other.abs().max()


def shuffled(model: nn.Module, base: Architecture, seed: int = 0) -> Orders:
    """Every group of channels in a random order."""
    generator = torch.Generator().manual_seed(seed)
    found = by_magnitude(model.state_dict(), base)
    return {group: torch.randperm(len(order), generator=generator) for group, order in found.items()}


def student_of(
    model: nn.Module, architecture: Architecture, base: Architecture, orders: Orders
) -> nn.Module:
    network = build(architecture, 5).eval()
    state = network.state_dict()
    sizes = {name: value.shape for name, value in state.items()}
    parts = subnet_weights(model.state_dict(), architecture, base, orders, sizes)
    network.load_state_dict({**state, **parts})
    return network.requires_grad_(False)


@pytest.fixture(params=BASES)
def base(request: pytest.FixtureRequest) -> tuple[nn.Module, Architecture]:
    model = whole_network(request.param)
    return model, architecture_from_timm(model, request.param, SIDE)


@pytest.mark.parametrize("side", [SIDE, SIDE - 3])
def test_everything_kept_in_any_order_is_the_same_network(base, side):
    model, architecture = base
    architecture = replace(architecture, resolution=side)
    network = student_of(model, architecture, architecture, shuffled(model, architecture))
    images = torch.randn(2, 3, side, side)
    close(network(images), model(images))
    assert network.forward_features(images).shape == model.forward_features(images).shape


def test_a_cut_network_is_the_whole_one_with_the_rest_silenced(base):
    """Channels that are not kept give zero, and so do kernel positions outside the centre."""
    model, whole = base
    space = Elastic((SIDE,), base=whole)
    orders = shuffled(model, whole)
    rng = np.random.default_rng(0)
    for _ in range(2):
        point = list(space.sample(rng))
        for place, decision in enumerate(space.decisions):
            if decision.name.endswith("depth"):
                point[place] = len(decision.options) - 1
        architecture = space.decode(point)
        network = student_of(model, architecture, whole, orders)
        silenced = silence(str(whole.base), architecture, orders)
        images = torch.randn(2, 3, SIDE, SIDE)
        close(network(images), silenced(images))


def silence(name: str, architecture: Architecture, orders: Orders) -> nn.Module:
    """The whole network in which every channel and kernel position that is left out gives zero.

    Walks timm's own modules, by their attributes; all blocks are kept.
    """
    model = whole_network(name)
    stem, *layers = [x for x in architecture.layers if isinstance(x, ConvBn | InvertedResidual | Dense)]
    incoming = orders["stem"][stem.out :]
    mute(model.bn1, incoming)
    stage, shared = 0, model.blocks[0][0].has_skip
    for path, block in [
        (f"blocks.{i}.{j}", x) for i, y in enumerate(model.blocks) for j, x in enumerate(y)
    ]:
        layer = layers.pop(0)
        stage += stage == 0 or not block.has_skip
        if type(block).__name__ == "ConvBnAct":
            incoming = orders[path][layer.out :]
            mute(block.bn1, incoming)
            continue
        out = orders["stem" if shared and stage == 1 else f"stage{stage}"][layer.out :]
        if type(block).__name__ == "InvertedResidual":
            hidden = orders[f"{path}.hidden"][layer.hidden :]
            for norm, silent in ((block.bn1, hidden), (block.bn2, hidden), (block.bn3, out)):
                mute(norm, silent)
        else:
            mute(block.bn1, incoming)
            mute(block.bn2, out)
        if layer.squeezed:
            mute(block.se.conv_reduce, orders[f"{path}.squeezed"][layer.squeezed :])
        edge = (block.conv_dw.kernel_size[0] - layer.kernel) // 2
        if edge:
            inside = torch.zeros_like(block.conv_dw.weight)
            inside[..., edge:-edge, edge:-edge] = 1
            block.conv_dw.weight *= inside
        incoming = out
    (head,) = layers
    mute(model.bn2 if isinstance(head, ConvBn) else model.conv_head, orders["conv_head"][head.out :])
    return model


def mute(module: nn.Module, channels: torch.Tensor) -> None:
    """Let output channels of a norm or a convolution be zero."""
    module.weight[channels] = 0
    module.bias[channels] = 0


def test_blocks_are_left_out_from_the_end_of_a_stage():
    space = Elastic((SIDE,))
    kept = base_layers(space.decode(space.smallest), space.base)
    names = [index for index in kept if isinstance(space.base.layers[index], InvertedResidual)]
    assert names == [1, 2, 4, 6, 9, 12, 16]  # the first block of each stage of EfficientNet-Lite0
    assert base_layers(space.base, space.base) == list(range(len(space.base.layers)))


def test_a_base_that_blurs_is_refused():
    model = whole_network("efficientnet_blur_b0")
    with pytest.raises(UserError, match="blurs where it strides"):
        architecture_from_timm(model, "efficientnet_blur_b0", SIDE)


def test_smaller_networks_lie_inside_larger_ones():
    """The channels of the smallest are among those of every other network."""
    model = whole_network("tinynet_e")
    base = architecture_from_timm(model, "tinynet_e", SIDE)
    space = Elastic((SIDE,), base=base)
    orders = shuffled(model, base)
    small, large = (
        student_of(model, space.decode(point), base, orders) for point in (space.smallest, space.largest)
    )
    columns = small.head[-1].weight.shape[1]
    assert torch.equal(small.head[-1].weight, large.head[-1].weight[:, :columns])


def test_gradients_reach_what_is_kept_and_nothing_else():
    model = whole_network("mobilenetv3_small_050").requires_grad_(True)
    base = architecture_from_timm(model, "mobilenetv3_small_050", SIDE)
    space = Elastic((SIDE,), base=base)
    architecture = space.decode(space.smallest)
    network = build(architecture, 5)
    sizes = {name: value.shape for name, value in network.state_dict().items()}
    orders = shuffled(model, base)
    weights = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    parts = subnet_weights(weights, architecture, base, orders, sizes)
    sum(value.sum() for value in parts.values() if value.requires_grad).backward()
    head = model.classifier.weight.grad
    kept = orders["conv_head"][: sizes["head.3.weight"][1]]
    assert torch.equal(head.sum(0).nonzero().flatten(), kept.sort().values)
    assert model.blocks[4][2].conv_pw.weight.grad is None  # a block that is left out


def test_importance_puts_silent_channels_last():
    model = whole_network("tf_efficientnet_lite0")
    base = architecture_from_timm(model, "tf_efficientnet_lite0", SIDE)
    silent = torch.tensor([3, 50, 77])
    block = model.blocks[1][0]
    block.bn2.weight[silent] = 0
    block.bn2.bias[silent] = 0
    order = by_magnitude(model.state_dict(), base)["blocks.1.0.hidden"]
    assert set(order[-3:].tolist()) == set(silent.tolist())
    model.requires_grad_(True)
    images = torch.randn(4, 3, SIDE, SIDE)
    model(images).square().sum().backward()
    gradients = {name: value.grad for name, value in model.named_parameters()}
    order = by_taylor(model.state_dict(), [gradients], base)["blocks.1.0.hidden"]
    assert set(silent.tolist()) <= set(order[-8:].tolist())  # others can be as silent on four images


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("resnet18", "a ResNet is not built of"),
        ("mobilenetv4_conv_small", "block 2.0 is a UniversalInvertedResidual"),
        ("mixnet_s", "block 1.0 expands by something else than a 1x1"),
        ("lcnet_050", "block 0.0 has an activation after its projection"),
        ("efficientnet_es", "block 0.0 is a EdgeResidual"),
    ],
)
def test_other_networks_are_refused_with_the_reason(name, reason):
    model = timm.create_model(name, num_classes=2)
    with pytest.raises(UserError, match=reason):
        architecture_from_timm(model, name, SIDE)


def test_what_was_not_cut_out_is_refused():
    space = Elastic((SIDE,))
    base = space.base
    wider = list(base.layers)
    wider[1] = replace(wider[1], out=24)
    wider[2] = replace(wider[2])
    with pytest.raises(ValueError, match=r"layer 1: out is 24, that of tf_efficientnet_lite0 is 16"):
        base_layers(replace(base, layers=tuple(wider)), base)
    with pytest.raises(ValueError, match="its base is None"):
        base_layers(replace(base, base=None), base)


def test_the_default_base_is_what_timm_builds():
    model = timm.create_model("tf_efficientnet_lite0", num_classes=2)
    assert architecture_from_timm(model, "tf_efficientnet_lite0", 224) == Elastic().base


@pytest.mark.parametrize("name", ["tf_mobilenetv3_small_075", "mobilenetv3_small_050"])
def test_model_files_of_cut_networks_say_all(tmp_path: Path, name: str):
    """Also the eps of batch norm, 1e-5 of which YAML could take for text."""
    space = Elastic(
        (SIDE,), base=architecture_from_timm(timm.create_model(name, num_classes=2), name, SIDE)
    )
    for point in (space.smallest, space.largest, space.sample(np.random.default_rng(1))):
        architecture = space.decode(point)
        architecture.to_yaml(tmp_path / "model.yaml")
        assert Architecture.from_yaml(tmp_path / "model.yaml") == architecture


def test_shares_that_keep_the_same_channels_are_one_point():
    """Where a stage has one share for all its blocks, the first block alone may round two to the same."""
    with torch.device("meta"):
        model = timm.create_model("efficientnet_b1", num_classes=2)
    space = Elastic((SIDE,), base=architecture_from_timm(model, "efficientnet_b1", SIDE))
    place = {decision.name: index for index, decision in enumerate(space.decisions)}
    options = range(len(space.decisions[place["stage2.expansion"]].options))
    for depth, fewer in ((0, 1), (1, 0)):
        found = set()
        for option in options:
            point = [*space.largest]
            point[place["stage2.depth"]], point[place["stage2.expansion"]] = depth, option
            canonical = space.canonical(point)
            assert space.decode(canonical) == space.decode(point)
            found.add((canonical, space.decode(point)))
        assert len(found) == len({point for point, _ in found}) == len(options) - fewer
