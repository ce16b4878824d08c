"""Whole model files, as the competitions' teams wrote them: published networks, odd endings, round trips."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
import yaml
from torch import nn

from core.errors import UserError
from nas.architecture import Architecture, classifier
from nas.cost import cost
from nas.layers import ACTIVATIONS, AvgPool, Bottleneck, Conv, MaxPool, MBConv
from nas.model_file import read_model
from nas.networks import build
from nas.shapes import output_shape
from teachers.ensemble import count_macs

MOBILENETV2 = [
    [1, "Conv", [32, 3, 2, None, 1, "ReLU6"]],
    [1, "InvertedResidualv2", [16, 1, 1]],
    [2, "InvertedResidualv2", [24, 6, 2]],
    [3, "InvertedResidualv2", [32, 6, 2]],
    [4, "InvertedResidualv2", [64, 6, 2]],
    [3, "InvertedResidualv2", [96, 6, 1]],
    [3, "InvertedResidualv2", [160, 6, 2]],
    [1, "InvertedResidualv2", [320, 6, 1]],
    [1, "Conv", [1280, 1, 1, None, 1, "ReLU6"]],
    [1, "GlobalAvgPool", []],
    [1, "Flatten", []],
    [1, "Linear", [1000]],
]
EFFICIENTNET_B0 = [
    [1, "Conv", [32, 3, 2, None, 1, "Swish"]],
    [1, "MBConv", [1, 16, 1, 3]],
    [2, "MBConv", [6, 24, 2, 3]],
    [2, "MBConv", [6, 40, 2, 5]],
    [3, "MBConv", [6, 80, 2, 3]],
    [3, "MBConv", [6, 112, 1, 5]],
    [4, "MBConv", [6, 192, 2, 5]],
    [1, "MBConv", [6, 320, 1, 3]],
    [1, "Conv", [1280, 1, 1, None, 1, "Swish"]],
    [1, "GlobalAvgPool", []],
    [1, "Flatten", []],
    [1, "Linear", [1000]],
]
#: MobileNetV3-Large (Howard et al. 2019, table 1) as the competition's own example has it.
MOBILENETV3 = [
    [1, "Conv", [16, 3, 2, None, 1, "HardSwish"]],
    [1, "InvertedResidualv3", [3, 1, 16, 0, 0, 1]],
    [1, "InvertedResidualv3", [3, 4, 24, 0, 0, 2]],
    [1, "InvertedResidualv3", [3, 3, 24, 0, 0, 1]],
    [1, "InvertedResidualv3", [5, 3, 40, 1, 0, 2]],
    [2, "InvertedResidualv3", [5, 3, 40, 1, 0, 1]],
    [1, "InvertedResidualv3", [3, 6, 80, 0, 1, 2]],
    [1, "InvertedResidualv3", [3, 2.5, 80, 0, 1, 1]],
    [2, "InvertedResidualv3", [3, 2.3, 80, 0, 1, 1]],
    [2, "InvertedResidualv3", [3, 6, 112, 1, 1, 1]],
    [3, "InvertedResidualv3", [5, 6, 160, 1, 1, 1]],
    [1, "Conv", [960, 1, 1, None, 1, "HardSwish"]],
    [1, "GlobalAvgPool", []],
    [1, "Conv", [1280, 1, 1, None, 1, "HardSwish"]],
    [1, "Flatten", []],
    [1, "Linear", [6]],
]
LENET = [
    [1, "Conv", [6, 5, 1, 0]],
    [1, "MaxPool", [2]],
    [1, "Conv", [16, 5, 1, 0]],
    [1, "MaxPool", [2]],
    [1, "Flatten", []],
    [1, "Linear", [120, "ReLU"]],
    [1, "Linear", [84, "ReLU"]],
    [1, "Linear", [10]],
]
#: The classifier before the pooling, as SqueezeNet has it, or after it.
SQUEEZENET = [
    [1, "Conv", [64, 3, 2, [0]]],
    [1, "MaxPool", [3, 2, 0, 1, False, True]],
    [2, "Fire", [16, 64, 64]],
    [1, "MaxPool", [3, 2, 0, 1, False, True]],
    [2, "Fire", [32, 128, 128]],
    [1, "MaxPool", [3, 2, 0, 1, False, True]],
    [2, "Fire", [48, 192, 192]],
    [2, "Fire", [64, 256, 256]],
    [1, "Conv", [10, 1, 1]],
    [1, "GlobalAvgPool", []],
    [1, "Flatten", []],
]
FIXED = [*MOBILENETV2[:3], [1, "GlobalAvgPool", []], [1, "FixedConv", [6, 1, 1, None, 1, None]]]
FILES = {
    "mobilenetv2": MOBILENETV2,
    "mobilenetv3": MOBILENETV3,
    "efficientnet-b0": EFFICIENTNET_B0,
    "lenet": LENET,
    "squeezenet": SQUEEZENET,
    "fixed-conv": FIXED,
}


def write(path: Path, rows: list[list[object]], **top: object) -> Path:
    path.write_text(yaml.safe_dump({**top, "backbone": rows}, sort_keys=False), encoding="utf-8")
    return path


def architecture(tmp_path: Path, rows: list[list[object]], resolution: int = 64) -> Architecture:
    return Architecture.from_yaml(write(tmp_path / "m.yaml", rows), resolution=resolution)


def params(model: nn.Module) -> int:
    return sum(weights.numel() for weights in model.parameters())


def test_published_networks_have_their_parameters_and_macs(tmp_path: Path) -> None:
    """Against torchvision's implementations, and the counts of the papers (3.5 M, 5.3 M)."""
    for rows, theirs in (
        (MOBILENETV2, torchvision.models.mobilenet_v2()),
        (EFFICIENTNET_B0, torchvision.models.efficientnet_b0()),
    ):
        ours = cost(architecture(tmp_path, rows, 224), 1000)
        assert ours.params == params(theirs)
        assert ours.macs == count_macs(theirs, 224)
    assert cost(architecture(tmp_path, MOBILENETV2), 1000).params == 3_504_872
    assert cost(architecture(tmp_path, EFFICIENTNET_B0), 1000).params == 5_288_548


def test_the_fire_blocks_of_squeezenet_are_torchvisions(tmp_path: Path) -> None:
    theirs = torchvision.models.squeezenet1_1(num_classes=10)
    network = build(architecture(tmp_path, SQUEEZENET, 224), 10)
    # batch norm (2 numbers a channel) takes the place of biases in the first and last convolution
    assert params(network) == params(theirs) + 64 + 10
    sides = [each.shape[2] for each in network.forward_intermediates(torch.zeros(1, 3, 224, 224))[1]]
    assert sides[1] == theirs.features[:3](torch.zeros(1, 3, 224, 224)).shape[2]


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("width", [1.0, 0.5])
def test_files_build_cost_and_come_back(tmp_path: Path, name: str, width: float) -> None:
    top = {"input_channel": 3, "depth_multiple": 1.0, "width_multiple": width, "INPUT_SIZE": [64, 64]}
    read = read_model(write(tmp_path / "m.yaml", FILES[name], **top, AUTHOR="them"))
    architecture = Architecture.from_model_file(read)
    network = build(architecture, 7).eval()
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        features = network.forward_features(images)
        logits = network.forward_head(features)
        pooled = network.forward_head(features, pre_logits=True)
        assert logits.shape == (2, 7)
        assert features.ndim == 4
        assert pooled.ndim == 2
        torch.testing.assert_close(network(images), logits)
    total = cost(architecture, 7)
    assert total.params == params(network)
    assert total.macs == count_macs(network, 64)
    (tmp_path / "again.yaml").write_text(architecture.to_text(num_classes=7), encoding="utf-8")
    again = read_model(tmp_path / "again.yaml")
    assert Architecture.from_model_file(again) == architecture
    assert Architecture.from_model_file(again).key == architecture.key
    assert again.classes == 7


@pytest.mark.parametrize(
    ("before", "repeats"),
    [
        ([], [3, 3, 48]),
        ([[1, "Fire", [7, 20, 30]]], [50, 50, 48]),
        ([[1, "FixedConv", [50, 3]], [2, "Bottleneck", [50]]], [50, 48, 48, 48, 48]),
        ([[1, "FixedConv", [50, 3]], [1, "Fire", [7, 20, 30]], [2, "MaxPool", [2]]], [50, 50, 48]),
    ],
)
def test_bottlenecks_that_keep_an_odd_number_of_channels_come_back(
    tmp_path: Path, before: list[list[object]], repeats: list[int]
) -> None:
    rows = [*before, [3, "Bottleneck", [48]], [1, "GlobalAvgPool", []], [1, "Flatten", []]]
    made = architecture(tmp_path, [*rows, [1, "Linear", [6]]])
    assert [layer.out for layer in made.layers if isinstance(layer, Bottleneck)] == repeats
    made.to_yaml(tmp_path / "again.yaml")
    assert Architecture.from_yaml(tmp_path / "again.yaml") == made


@pytest.mark.parametrize(("name", "classes"), [("lenet", 10), ("fixed-conv", 6), ("squeezenet", 10)])
def test_the_class_count_is_reported_and_not_kept(tmp_path: Path, name: str, classes: int) -> None:
    read = read_model(write(tmp_path / "m.yaml", FILES[name]), resolution=64)
    assert read.classes == classes
    rows = [[repeat, module, list(args)] for repeat, module, args in FILES[name]]  # type: ignore[call-overload]
    last = max(i for i, (_, module, _) in enumerate(rows) if module in ("Linear", "Conv", "FixedConv"))
    rows[last][2][0] = 99
    other = read_model(write(tmp_path / "o.yaml", rows), resolution=64)
    assert (other.layers, other.classes) == (read.layers, 99)


@pytest.mark.parametrize("size", [[48, 64], [3, 48, 48]])
def test_an_input_that_is_not_square_is_refused(tmp_path: Path, size: list[int]) -> None:
    with pytest.raises(UserError, match=r"m\.yaml: input images are square here, got a resolution of \["):
        read_model(write(tmp_path / "m.yaml", LENET, INPUT_SIZE=size))


def test_the_own_resolution_comes_first(tmp_path: Path) -> None:
    bare = write(tmp_path / "bare.yaml", LENET)
    own = write(tmp_path / "own.yaml", LENET, INPUT_SIZE=48)
    assert read_model(bare, default_resolution=96).resolution == 96
    assert not read_model(bare, default_resolution=96).states_resolution
    assert read_model(own, default_resolution=96).resolution == 48
    assert read_model(own, resolution=96).resolution == 96
    with pytest.raises(UserError, match="'resolution' must be the side"):
        read_model(bare)
    with pytest.raises(UserError, match=r"'resolution' must be the side .* got 0"):
        read_model(own, resolution=0)


@pytest.mark.parametrize(
    ("rows", "complaint"),
    [
        ([[1, "Conv", [8, 3]]], "ends with 64x64 logits per class; add GlobalAvgPool"),
        ([[1, "GlobalAvgPool", []]], "exactly one layer must be the classifier, found 0"),
        ([[1, "Fire", [4, 8, 8]], [1, "GlobalAvgPool", []]], "backbone row 1"),
        ([[1, "Fire", [4, 8, 8]]], "the last layer with weights must be Linear or Conv"),
        (
            [[1, "GlobalAvgPool", []], [1, "Conv", [6, 1, 1, None, 3]]],
            "the classifier cannot have groups",
        ),
        ([[1, "GlobalAvgPool", []], [2, "Linear", [6]]], "its repeat must be 1, got 2"),
        ([[1, "Conv", [8, 3]], [1, "Linear", [6]]], "needs a flat input, got 64x64"),
        ([[1, "Linear", [6]], [1, "Conv", [6, 1]]], "needs a flat input"),
    ],
)
def test_files_that_are_no_classifier(tmp_path: Path, rows: list[list[object]], complaint: str) -> None:
    path = write(tmp_path / "m.yaml", rows, resolution=64)
    with pytest.raises(UserError) as error:
        Architecture.from_yaml(path)
    assert complaint in str(error.value)
    assert str(error.value).startswith(str(path))


def test_pooling_gives_the_shapes_of_torch() -> None:
    """Every small combination; what torch refuses is refused."""
    for side, kernel, stride, padding, ceil in itertools.product(
        (1, 2, 5, 8), (1, 2, 3, 4), (1, 2, 3), (0, 1, 2), (False, True)
    ):
        images = torch.zeros(1, 4, side, side)
        for layer, module in (
            (MaxPool(kernel, stride, padding, 1, ceil), nn.MaxPool2d),
            (AvgPool(kernel, stride, padding, ceil), nn.AvgPool2d),
        ):
            try:
                expected = tuple(module(kernel, stride, padding, ceil_mode=ceil)(images).shape[1:])
            except RuntimeError:
                expected = None
            try:
                found = output_shape(layer, (4, side, side))
            except ValueError:
                found = None
            if found is not None or (expected is not None and side + 2 * padding >= kernel):
                assert found == expected, (layer, side)


@pytest.mark.parametrize("side", range(2, 12))
@pytest.mark.parametrize(("kernel", "stride"), [(3, 1), (5, 1), (3, 2), (5, 2)])
def test_mbconv_pads_unevenly(side: int, kernel: int, stride: int) -> None:
    """As TensorFlow's VALID after padding of kernel - stride: side // stride pixels."""
    layer = MBConv(2, 8, stride, kernel)
    network = build(classifier(side, (Conv(8, 1), layer)), 2).eval()
    found = network.forward_features(torch.zeros(1, 3, side, side)).shape
    assert tuple(found) == (1, 8, side // stride, side // stride)
    assert output_shape(layer, (8, side, side)) == tuple(found[1:])


def test_activations_are_those_of_torch() -> None:
    """Every activation of torch.nn that needs no argument, keeps the shape and is not deprecated so."""
    images = torch.randn(2, 4, 3, 3)
    found = set()
    implicit = {"Softmax", "Softmin", "LogSoftmax"}  # over a dimension that they guess
    for name in dir(nn.modules.activation):
        kind = getattr(nn, name, None)
        if not isinstance(kind, type) or not issubclass(kind, nn.Module) or name in implicit:
            continue
        try:
            if kind()(images).shape == images.shape:
                found.add(name)
        except (TypeError, RuntimeError):
            continue
    assert found | {"Identity"} - {"Module"} == set(ACTIVATIONS) | (found & {"Module"})


@pytest.mark.parametrize("activation", ["PReLU", "Mish", "RReLU", "Softmax2d"])
def test_any_activation_builds_and_is_counted(tmp_path: Path, activation: str) -> None:
    rows: list[list[object]] = [
        [2, "Conv", [8, 3, 2, None, 1, activation]],
        [1, "InvertedResidualv2", [8, 2, 1, 3, activation]],
        [1, "Bottleneck", [8, True, 1, 0.5, activation]],
        *FIXED[-2:],
    ]
    made = architecture(tmp_path, rows)
    assert cost(made, 3).params == params(build(made, 3))


def test_a_bottleneck_adds_its_input_only_where_channels_agree_and_it_is_wanted() -> None:
    from nas.networks.blocks import BottleneckBlock

    rng = np.random.default_rng(0)
    images = torch.from_numpy(rng.normal(size=(2, 16, 5, 5)).astype(np.float32))
    for shortcut, out, added in ((True, 16, True), (False, 16, False), (True, 24, False)):
        block = BottleneckBlock(16, 8, out, shortcut=shortcut, groups=1, activation="ReLU").eval()
        difference = block(images) - block.body(images)
        expected = images if added else torch.zeros_like(difference)
        torch.testing.assert_close(difference, expected)


@pytest.mark.parametrize(("padding", "side"), [(0, 8), (0, 9), (1, 8)])
@pytest.mark.parametrize("stride", [2, 3])
def test_strided_pointwise_is_the_convolution_of_torch(padding: int, side: int, stride: int) -> None:
    from nas.networks.blocks import StridedPointwise

    torch.manual_seed(0)
    ours = StridedPointwise(5, 7, 1, stride, padding, bias=False)
    images = torch.randn(2, 5, side, side, requires_grad=True)
    theirs = nn.functional.conv2d(images, ours.weight, None, stride, padding)
    torch.testing.assert_close(ours(images), theirs)
    assert sum(count_macs(module, 16) for module in (nn.Sequential(StridedPointwise(3, 7, 1, 2)),)) == (
        3 * 7 * 8 * 8
    )


def test_a_first_layer_of_strided_1x1_convolutions_trains(together) -> None:
    """In a process of its own: where the convolution is torch's own, it dies or hangs."""

    def train(_: object) -> bool:
        network = build(classifier(32, (Conv(16, 1, 2), Conv(4, 1), Conv(8, 1, 2))), 3)
        network = network.to(memory_format=torch.channels_last)
        images = torch.randn(64, 3, 32, 32).to(memory_format=torch.channels_last)
        for _ in range(3):
            network(images).sum().backward()
        return True

    assert together(train, 1) == [True]


@pytest.mark.parametrize(
    ("rows", "top", "complaint"),
    [
        ([[1, "Conv", [1_000_000, 30]]], {}, "row 1 .*: 2,702 M parameters; at most 500 M fit"),
        ([[1, "Conv", [8, 1_000_000]]], {}, "row 1 .* M parameters; at most 500 M fit"),
        (
            [[1, "Conv", [400_000, 1]], [1, "MaxPool", [2]]],
            {},
            "row 2 .*: 400000 channels of 64x64 pixels",
        ),
        ([[1, "Conv", [8, 3, 1, 9_000]]], {}, "row 2 .*: 8 channels of 18062x18062 pixels"),
        ([[1, "InvertedResidualv2", [8, 1000, 1]]], {"resolution": 2000}, "row 1 .*: 3000 channels"),
        ([[1000, "Conv", [8, 1]]] * 3, {}, "'backbone' has more than 2,000 layers"),
        (
            [[1, "Conv", [8, 1]]],
            {"width_multiple": 1001},
            "'width_multiple' must be at most 1,000, got 1001",
        ),
        ([[1, "Conv", [8, 1]]], {"depth_multiple": 1e300}, "'depth_multiple' must be at most 1,000"),
    ],
)
def test_networks_that_no_computer_holds_are_refused(
    tmp_path: Path, rows: list[list[object]], top: dict[str, object], complaint: str
) -> None:
    head: list[list[object]] = [[1, "GlobalAvgPool", []], [1, "Flatten", []], [1, "Linear", [6]]]
    path = write(tmp_path / "m.yaml", [*rows, *head], **{"resolution": 64, **top})
    with pytest.raises(UserError, match=complaint) as error:
        Architecture.from_yaml(path)
    assert str(path) in str(error.value)
