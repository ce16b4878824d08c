"""Rows of the model file: what each module means, and what is said about a malformed one."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import timm.layers
import torch
from torch import nn

from core.errors import UserError
from nas.architecture import Architecture, classifier
from nas.cost import cost
from nas.layers import (
    AvgPool,
    Bottleneck,
    Conv,
    Dense,
    Dropout,
    Fire,
    GlobalAvgPool,
    InvertedResidualv2,
    InvertedResidualv3,
    InvertedResidualv3GateFirst,
    Layer,
    MaxPool,
    MBConv,
    make_divisible,
)
from nas.model_file.rows import layer_from_row, row_of_layer
from nas.networks import build
from teachers.ensemble import count_macs

HEAD = "  - [1, GlobalAvgPool, []]\n  - [1, Flatten, []]\n  - [1, Linear, [6]]\n"


def write(path: Path, rows: str, top: str = "resolution: 32\n", head: str = HEAD) -> Path:
    path.write_text(f"{top}backbone:\n{rows}{head}", encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0.1, 8),  # never less than the divisor
        (8, 8),
        (11.9, 16),  # 8 would be 33 % down
        (12, 16),  # half goes up
        (20, 24),
        (19.9, 24),  # nearest is 16, which is more than 10 % down
        (27.9, 32),  # nearest is 24, 14 % down
        (67, 64),  # 4.5 % down is allowed
        (71.1, 72),
        (71.2, 72),
        (75.9, 72),  # 5 % down
        (76, 80),
    ],
)
def test_make_divisible(value: float, expected: int) -> None:
    assert make_divisible(value, 8) == expected


def test_make_divisible_as_timm_has_it() -> None:
    for tenths in range(1, 5000):
        assert make_divisible(tenths / 10, 8) == timm.layers.make_divisible(tenths / 10, 8)


ROWS: list[tuple[list[Any], float, float, list[Layer]]] = [
    # channels scale; the last repeat has the stride
    ([1, "Conv", [16, 3, 2]], 1, 1, [Conv(16, 3, 2)]),
    ([1, "Conv", [16, 3]], 1, 1, [Conv(16, 3, 1, 1, 1, "ReLU")]),
    ([3, "Conv", [20, 5, 2]], 1, 1, [Conv(24, 5, 1), Conv(24, 5, 1), Conv(24, 5, 2)]),
    ([1, "Conv", [64, 1, 1, None, 1, None]], 1, 0.5, [Conv(32, 1, activation=None)]),
    ([1, "Conv", [16, 3, 2, 0, 8, "HardSwish"]], 1, 1, [Conv(16, 3, 2, 1, 8, "Hardswish")]),
    ([1, "Conv", [16, 3, 2, [0]]], 1, 1, [Conv(16, 3, 2, 0)]),
    ([1, "FixedConv", [12, 5, 1, [1, 1]]], 1, 1, [Conv(12, 5, 1, 1)]),
    ([2, "DWConv", [16, 5, 2, 0]], 1, 1, [Conv(16, 5, 1, 2, 16), Conv(16, 5, 2, 2, 16)]),
    ([1, "Dropout", [0.2]], 1, 0.5, [Dropout(0.2)]),
    ([1, "Dropout", []], 1, 1, [Dropout(0.5)]),
    ([1, "Conv", [16, 3, 1, None, 1, "Swish"]], 1, 1, [Conv(16, 3, activation="SiLU")]),
    ([1, "Conv", [16, 3, 1, None, 1, "HardSigmoid"]], 1, 1, [Conv(16, 3, activation="Hardsigmoid")]),
    # channels stay
    ([1, "FixedConv", [20, 3, 1]], 1, 0.25, [Conv(20, 3)]),
    ([2, "FixedConv", [7, 3, 2]], 1, 1, [Conv(7, 3, 1), Conv(7, 3, 2)]),
    # the first repeat has the stride
    ([1, "InvertedResidualv2", [24, 6, 2]], 1, 1, [InvertedResidualv2(24, 6, 2)]),
    (
        [3, "InvertedResidualv2", [20, 1, 2]],
        1,
        1,
        [InvertedResidualv2(24, 1, 2), InvertedResidualv2(24, 1, 1), InvertedResidualv2(24, 1, 1)],
    ),
    (
        [2, "InvertedResidualv3", [5, 2.5, 40, 1, 0, 2]],
        1,
        0.5,
        [
            InvertedResidualv3GateFirst(5, 2.5, 24, True, False, 2),
            InvertedResidualv3GateFirst(5, 2.5, 24, True, False, 1),
        ],
    ),
    (
        [1, "InvertedResidualv3", [3, 4, 24, False, True, 1]],
        1,
        1,
        [InvertedResidualv3(3, 4, 24, False, True, 1)],
    ),
    # without an expansion the scripts have the gate behind the activation
    (
        [2, "InvertedResidualv3", [3, 1, 24, 1, 1, 2]],
        1,
        1,
        [InvertedResidualv3(3, 1, 24, True, True, 2), InvertedResidualv3(3, 1, 24, True, True, 1)],
    ),
    (
        [1, "InvertedResidualv3", [3, 4, 24, 1, 1, 2, "after"]],
        1,
        1,
        [InvertedResidualv3(3, 4, 24, True, True, 2)],
    ),
    # repeats scale where there is more than one, by Python's rounding, and never vanish
    ([1, "Conv", [16, 3]], 3.0, 1, [Conv(16, 3)]),
    ([5, "Conv", [16, 3]], 0.5, 1, [Conv(16, 3)] * 2),  # 2.5 rounds to even
    ([3, "Conv", [16, 3]], 0.5, 1, [Conv(16, 3)] * 2),  # 1.5 rounds to even
    ([2, "Conv", [16, 3, 2]], 0.1, 1, [Conv(16, 3, 2)]),
    ([4, "Conv", [16, 3]], 0.75, 1, [Conv(16, 3)] * 3),
    # groups are the greatest common divisor of what comes in and goes out, at every repeat
    ([1, "DWConv", [24, 3, 2]], 1, 1, [Conv(24, 3, 2, groups=8)]),
    (
        [2, "DWConv", [24, 5, 2, 1, "Swish"]],
        1,
        1,
        [Conv(24, 5, 1, 1, 8, "SiLU"), Conv(24, 5, 2, 1, 24, "SiLU")],
    ),
    ([1, "DWConv", [48, 3]], 1, 0.5, [Conv(24, 3, groups=8)]),
    ([2, "MBConv", [6, 20, 2, 5]], 1, 1, [MBConv(6, 24, 2, 5), MBConv(6, 24, 1, 5)]),
    # all but the last keep what comes in
    ([3, "Bottleneck", [64]], 1, 0.5, [Bottleneck(16), Bottleneck(16), Bottleneck(32)]),
    (
        [1, "Bottleneck", [64, False, 4, 0.25, "HardSwish"]],
        1,
        1,
        [Bottleneck(64, False, 4, 0.25, "Hardswish")],
    ),
    ([2, "Fire", [12, 20, 30]], 1, 0.5, [Fire(12, 20, 30)] * 2),
    ([1, "MaxPool", [3]], 1, 1, [MaxPool(3, 3)]),
    ([2, "MaxPool", [3, 2, 1, 1, False, True]], 1, 1, [MaxPool(3, 2, 1, 1, True)] * 2),
    ([1, "AvgPool", [2, None, 1, True, False]], 1, 1, [AvgPool(2, 2, 1, True, False)]),
    ([1, "GlobalAvgPool", []], 1, 1, [GlobalAvgPool()]),
    ([3, "Linear", [120, "ReLU"]], 1, 0.5, [Dense(120, "ReLU")]),
]


@pytest.mark.parametrize(("row", "depth", "width", "layers"), ROWS)
def test_rows(row: list[Any], depth: float, width: float, layers: list[Layer]) -> None:
    assert layer_from_row(row, 16, depth, width) == layers


@pytest.mark.parametrize(
    "layer",
    [
        Conv(20, 3, 2, 0, 4, None),
        Conv(16, 2, 1, activation="SiLU"),
        InvertedResidualv2(16, 2.5, 1, 5, None),
        InvertedResidualv2(16, 1, 2),
        InvertedResidualv3(7, 1.5, 16, True, True, 2),
        InvertedResidualv3(7, 1, 16, True, True, 2),
        InvertedResidualv3GateFirst(7, 1.5, 16, True, True, 2),
        Conv(16, 5, 1, 1),
        Dropout(0.1),
        MBConv(4, 24, 2, 5),
        Bottleneck(24, False, 2, 0.5, None),
        Fire(3, 5, 7),
        MaxPool(3, 2, 1, 2, True),
        AvgPool(3, 1, 1, True, False),
        Dense(10, "Tanh"),
    ],
)
def test_a_row_written_is_read_back(layer: Layer) -> None:
    module, args = row_of_layer(layer, 16)
    assert layer_from_row([1, module, args], 16, 1.0, 1.0) == [layer]


def convolutions(layers: list[Layer], channels: int) -> list[tuple[int, int, int, int, int]]:
    """(in, out, kernel, stride, groups) of every convolution of the layers, as torch has it."""
    network = build(classifier(16, (Conv(channels, 1), *layers)), 2)
    modules = [m for layer in network.body[1:] for m in layer.modules() if isinstance(m, nn.Conv2d)]
    return [(m.in_channels, m.out_channels, m.kernel_size[0], m.stride[0], m.groups) for m in modules]


@pytest.mark.parametrize(
    ("row", "width", "expected"),
    [
        ([3, "Conv", [20, 5, 2]], 1, [(16, 24, 5, 1, 1), (24, 24, 5, 1, 1), (24, 24, 5, 2, 1)]),
        ([2, "FixedConv", [7, 3, 2]], 0.5, [(16, 7, 3, 1, 1), (7, 7, 3, 2, 1)]),
        ([2, "DWConv", [24, 5, 2]], 1, [(16, 24, 5, 1, 8), (24, 24, 5, 2, 24)]),
        (
            [2, "InvertedResidualv2", [20, 1, 2]], 1,
            [(16, 16, 3, 2, 16), (16, 24, 1, 1, 1), (24, 24, 3, 1, 24), (24, 24, 1, 1, 1)],
        ),
        (
            [2, "InvertedResidualv3", [5, 2.5, 40, 1, 0, 2]], 0.5,
            [
                (16, 40, 1, 1, 1), (40, 40, 5, 2, 40), (40, 16, 1, 1, 1), (16, 40, 1, 1, 1), (40, 24, 1, 1, 1),
                (24, 64, 1, 1, 1), (64, 64, 5, 1, 64), (64, 16, 1, 1, 1), (16, 64, 1, 1, 1), (64, 24, 1, 1, 1),
            ],
        ),
        (
            [2, "MBConv", [6, 20, 2, 5]], 1,
            [
                (16, 96, 1, 1, 1), (96, 96, 5, 2, 96), (96, 4, 1, 1, 1), (4, 96, 1, 1, 1), (96, 24, 1, 1, 1),
                (24, 144, 1, 1, 1), (144, 144, 5, 1, 144), (144, 6, 1, 1, 1), (6, 144, 1, 1, 1),
                (144, 24, 1, 1, 1),
            ],
        ),
        (
            [3, "Bottleneck", [64]], 0.5,
            [
                (16, 8, 1, 1, 1), (8, 16, 3, 1, 1), (16, 8, 1, 1, 1), (8, 16, 3, 1, 1),
                (16, 16, 1, 1, 1), (16, 32, 3, 1, 1),
            ],
        ),
        (
            [2, "Fire", [12, 20, 30]], 0.5,
            [
                (16, 12, 1, 1, 1), (12, 20, 1, 1, 1), (12, 30, 3, 1, 1),
                (50, 12, 1, 1, 1), (12, 20, 1, 1, 1), (12, 30, 3, 1, 1),
            ],
        ),
    ],
)  # fmt: skip
def test_rows_become_these_convolutions(
    row: list[Any], width: float, expected: list[tuple[int, int, int, int, int]]
) -> None:
    """Worked out by hand from the schema, for 16 channels that come in."""
    assert convolutions(layer_from_row(row, 16, 1.0, width), 16) == expected


def test_blocks_have_the_convolutions_of_the_schema() -> None:
    # hidden is int(round(in * expand)); expand 1 has no expansion
    assert convolutions([InvertedResidualv2(16, 2.5, 2)], 9) == [
        (9, 22, 1, 1, 1), (22, 22, 3, 2, 22), (22, 16, 1, 1, 1)
    ]  # fmt: skip
    assert convolutions([InvertedResidualv2(16, 1, 1)], 9) == [(9, 9, 3, 1, 9), (9, 16, 1, 1, 1)]
    # hidden is make_divisible(in * expand, 8); none where it equals the input; SE of hidden // 4
    assert convolutions([InvertedResidualv3(5, 2.5, 24, True, True, 2)], 16) == [
        (16, 40, 1, 1, 1), (40, 40, 5, 2, 40), (40, 16, 1, 1, 1), (16, 40, 1, 1, 1), (40, 24, 1, 1, 1)
    ]  # fmt: skip
    assert convolutions([InvertedResidualv3(3, 1.1, 16, False, False, 1)], 16) == [
        (16, 16, 3, 1, 16), (16, 16, 1, 1, 1)
    ]  # fmt: skip


def test_every_row_builds_and_costs_what_torch_counts(tmp_path: Path) -> None:
    rows = "".join(
        f"  - {row}\n"
        for row in (
            "[1, Conv, [16, 3, 2, null, 1, HardSwish]]",
            "[2, FixedConv, [12, 3, 2, 1, 4, Swish]]",
            "[3, InvertedResidualv2, [20, 2.5, 2]]",
            "[2, InvertedResidualv2, [24, 1, 1, 5, null]]",
            "[3, InvertedResidualv3, [5, 2.5, 40, 1, 1, 2]]",
            "[1, InvertedResidualv3, [3, 1, 40, 0, 0, 1]]",
            "[2, DWConv, [36, 3, 1, null, PReLU]]",
            "[2, MBConv, [3, 40, 2, 5]]",
            "[1, MaxPool, [3, 1, 1, 1, false, true]]",
            "[2, Bottleneck, [48, true, 2, 0.5, PReLU]]",
            "[2, Fire, [7, 20, 30]]",
            "[1, AvgPool, [2, 1, 1]]",
            "[1, Conv, [96, 1, 1, null, 1, HardSigmoid]]",
        )
    )
    top = "INPUT_SIZE: [64, 64]\ninput_channel: 3\ndepth_multiple: 0.75\nwidth_multiple: 0.75\nAUTHOR: them\n"
    architecture = Architecture.from_yaml(write(tmp_path / "m.yaml", rows, top))
    assert architecture.resolution == 64
    network = build(architecture, 6).eval()
    total = cost(architecture, 6)
    assert total.params == sum(p.numel() for p in network.parameters())
    assert total.macs == count_macs(network, 64)
    with torch.no_grad():
        assert network(torch.zeros(2, 3, 64, 64)).shape == (2, 6)
    architecture.to_yaml(tmp_path / "again.yaml", num_classes=6)
    assert Architecture.from_yaml(tmp_path / "again.yaml").key == architecture.key


MALFORMED = [
    ("[1, Konv, [16, 3]]", "unknown module 'Konv'; known: AvgPool, Bottleneck, Conv, ConvBn, DWConv"),
    ("[1, [Conv], [16, 3]]", "unknown module ['Conv']"),
    ("[1, Conv]", "expected [repeat, module, [args]]"),
    ("[1, Conv, 16]", "expected [repeat, module, [args]]"),
    ("Conv", "expected [repeat, module, [args]]"),
    ("[0, Conv, [16, 3]]", "repeat must be a whole number of at least 1, got 0"),
    ("[1.5, Conv, [16, 3]]", "repeat must be a whole number"),
    ("[true, Conv, [16, 3]]", "repeat must be a whole number"),
    ("[1, Conv, [16]]", "Conv takes [out, kernel, stride=1"),
    ("[1, Conv, [16, 3, 1, null, 1, ReLU, 7]]", "got 7 arguments"),
    ("[1, Conv, [x, 3]]", "out must be a whole number of at least 1, got 'x'"),
    ("[1, Conv, [1000001, 3]]", "out must be at most 1,000,000, got 1000001"),
    ("[1, Conv, [16, 3, 1, 1000001]]", "padding must be at most 1,000,000"),
    ("[1, Conv, [16, 3, 1, same]]", "padding must be a whole number, one in brackets"),
    ("[1, Conv, [16, 3, 1, [1, 2]]]", "padding must be that of every side, got [1, 2]"),
    ("[1, Conv, [16, 3, 1, [-1]]]", "padding must be a whole number"),
    ("[1, Conv, [16, 3, 1, []]]", "padding must be a whole number"),
    ("[1, InvertedResidualv3, [3, 1001, 16, 1, 1, 1]]", "expand must be at most 1,000, got 1001"),
    ("[1, InvertedResidualv3, [3, 4, 16, 1, 1, 1, in]]", "gate must be before or after (the activation)"),
    ("[1, Dropout, [1.5]]", "p must be a number from 0 to 1, got 1.5"),
    ("[1, Dropout, [true]]", "p must be a number from 0 to 1, got True"),
    ("[1, Dropout, [0.5, 2]]", "inplace must be 0 or 1"),
    ("[1, Conv, [16, 0]]", "kernel must be a whole number of at least 1, got 0"),
    ("[1, Conv, [16, 3, 0]]", "stride must be"),
    (
        "[1, Conv, [16, 3, 1, -1]]",
        "padding must be a whole number, one in brackets ([0]: none), or null, got -1",
    ),
    ("[1, Conv, [16, 3, 1, 0.5]]", "padding must be"),
    ("[1, Conv, [16, 3, 1, null, 5]]", "cannot be cut into 5 groups"),
    ("[1, Conv, [16, 3, 1, null, 1, Bogus]]", "unknown activation 'Bogus'; known: CELU, ELU"),
    ("[1, Conv, [16, 3, 1, null, 1, [ReLU]]]", "unknown activation ['ReLU']"),
    ("[1, Conv, [16, 33, 1, [0]]]", "too small for kernel 33"),
    ("[1, InvertedResidualv2, [16, 6]]", "InvertedResidualv2 takes [out, expand, stride"),
    ("[1, InvertedResidualv2, [16, 0, 1]]", "expand must be a positive number, got 0"),
    ("[1000000000000, Conv, [8, 3]]", "a row may repeat at most 1000 times, got 1000000000000"),
    ("[1, InvertedResidualv2, [16, 0.1, 1]]", "expand 0.1 leaves nothing of 3 channels"),
    ("[1, InvertedResidualv2, [8, 2, 1, 4]]", "kernel must be odd, got 4"),
    ("[1, InvertedResidualv3, [4, 2, 8, 0, 0, 1]]", "kernel must be odd, got 4"),
    (
        "[1, InvertedResidualv3, [3, 4, 24, 0, 0]]",
        "InvertedResidualv3 takes [kernel, expand, out, SE, HS, stride, gate=",
    ),
    ("[1, InvertedResidualv3, [3, 4, 24, 'no', 0, 1]]", "SE must be 0 or 1, got 'no'"),
    ("[1, InvertedResidualv3, [3, 4, 24, 0, RE, 1]]", "HS must be 0 or 1, got 'RE'"),
    ("[1, GlobalAvgPool, [2]]", "pools to 1x1, got output size 2"),
    ("[1, GlobalAvgPool, [1, 1]]", "GlobalAvgPool takes [output size=1], got 2 arguments"),
    ("[1, DWConv, [16]]", "DWConv takes [out, kernel, stride=1, padding=null, activation='ReLU']"),
    ("[1, DWConv, [16, 3, 1, null, 1, ReLU]]", "got 6 arguments"),
    ("[1, MBConv, [6, 16, 1]]", "MBConv takes [expand, out, stride, kernel], got 3"),
    ("[1, MBConv, [1.5, 16, 1, 3]]", "expand 1.5 of 3 channels gives 4.5, not whole"),
    ("[1, Bottleneck, []]", "Bottleneck takes [out, shortcut=true, groups=1"),
    ("[1, Bottleneck, [16, maybe]]", "shortcut must be 0 or 1, got 'maybe'"),
    ("[1, Bottleneck, [16, true, 3]]", "8 input and 16 output channels cannot be cut into 3 groups"),
    ("[1, Bottleneck, [16, true, 1, 0.01]]", "expansion 0.01 leaves nothing of 16 channels"),
    ("[1, Bottleneck, [16, true, 1, 0.5, Relu]]", "unknown activation 'Relu'"),
    ("[1, Fire, [16, 64]]", "Fire takes [squeeze, expand1x1, expand3x3], got 2"),
    ("[1, Fire, [16, 64, 0]]", "expand3x3 must be a whole number of at least 1, got 0"),
    ("[1, MaxPool, []]", "MaxPool takes [kernel, stride=kernel, padding=0"),
    ("[1, MaxPool, [3, 2, 2]]", "padding 2 is more than half of kernel 3"),
    ("[1, MaxPool, [3, 2, 1, 1, true]]", "return_indices must be false"),
    ("[1, AvgPool, [40]]", "a 32x32 input is too small for kernel 40"),
    ("[1, AvgPool, [2, 2, 0, 2]]", "ceil_mode must be 0 or 1, got 2"),
    ("[1, Linear, [16, ReLU]]", "needs a flat input, got 32x32; put Flatten before it"),
]


@pytest.mark.parametrize(("row", "complaint"), MALFORMED)
def test_a_malformed_row_is_one_line(tmp_path: Path, row: str, complaint: str) -> None:
    path = write(tmp_path / "model.yaml", f"  - {row}\n")
    with pytest.raises(UserError) as error:
        Architecture.from_yaml(path)
    message = str(error.value)
    assert "\n" not in message
    assert message.startswith(f"{path}, backbone row 1 ")
    assert complaint in message


@pytest.mark.parametrize(
    ("last", "complaint"),
    [
        ("[1, Linear, [6, Softmax]]", "its activation must be null, got 'Softmax'"),
        ("[1, Linear, [none]]", "classes must be a whole number of at least 1, got 'none'"),
        ("[1, Linear, [6, null, 2]]", "Linear takes [out, activation=null]"),
    ],
)
def test_a_malformed_classifier(tmp_path: Path, last: str, complaint: str) -> None:
    path = write(
        tmp_path / "model.yaml", "  - [1, Conv, [8, 3]]\n", head=HEAD.replace("[1, Linear, [6]]", last)
    )
    with pytest.raises(UserError) as error:
        Architecture.from_yaml(path)
    assert str(error.value).startswith(f"{path}, backbone row 4 ")
    assert complaint in str(error.value)


@pytest.mark.parametrize("last", ["[1, Linear, []]", "[1, Linear, [6]]", "[1, Linear, [9, null]]"])
def test_the_class_count_is_not_part_of_the_architecture(tmp_path: Path, last: str) -> None:
    path = write(
        tmp_path / "model.yaml", "  - [1, Conv, [8, 3]]\n", head=HEAD.replace("[1, Linear, [6]]", last)
    )
    same = write(tmp_path / "same.yaml", "  - [1, Conv, [8, 3]]\n")
    assert Architecture.from_yaml(path) == Architecture.from_yaml(same)


@pytest.mark.parametrize("expand", [math.inf, math.nan, -1.0])
def test_a_number_that_is_none_is_refused_from_elsewhere_than_yaml(expand: float) -> None:
    content = {"resolution": 32, "backbone": [[1, "InvertedResidualv2", [16, expand, 1]]] * 2}
    with pytest.raises(UserError, match=r"backbone row 1 .*: expand must be a positive number"):
        Architecture.from_content(content, Path("model.yaml"))
