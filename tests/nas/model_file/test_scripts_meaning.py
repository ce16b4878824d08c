"""Model files mean what they mean to the competition's scripts, checked against an implementation of its own."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from torch import nn

import nas.spaces
from nas.architecture import Architecture
from nas.cost import cost
from nas.layers import Conv, Dropout, InvertedResidualv3, InvertedResidualv3GateFirst
from nas.networks import build

Check = Callable[[Architecture, dict[str, Any]], None]
#: The example that comes with the scripts.
EXAMPLE = """
input_channel: 3
depth_multiple: 1.0
width_multiple: 1.0
backbone:
    [
        [1, Conv, [6, 5, 1, 0]],
        [1, MaxPool, [2]],
        [1, Conv, [16, 5, 1, 0]],
        [1, MaxPool, [2]],
        [1, GlobalAvgPool, []],
        [1, Flatten, []],
        [1, Linear, [120, ReLU]],
        [1, Linear, [84, ReLU]],
        [1, Linear, [9]],
    ]
"""
MOBILENETV3 = """
input_channel: 3
depth_multiple: 1.0
width_multiple: 0.5
backbone:
    [
        [1, Conv, [16, 3, 2, null, 1, HardSwish]],
        [1, InvertedResidualv3, [3, 1, 16, 1, 0, 2]],
        [1, InvertedResidualv3, [3, 4.5, 24, 0, 0, 2]],
        [2, InvertedResidualv3, [5, 3, 40, 1, 0, 2]],
        [2, InvertedResidualv3, [5, 2.3, 80, true, 1, 1]],
        [1, Conv, [96, 1, 1, 0, 1, HardSwish]],
        [1, GlobalAvgPool, []],
        [1, Conv, [128, 1, 1, null, 1, HardSwish]],
        [1, Dropout, [0.2]],
        [1, FixedConv, [9, 1, 1, null, 1, null]],
        [1, Flatten, []],
    ]
"""
MIXED = """
input_channel: 3
depth_multiple: 0.75
width_multiple: 0.75
backbone:
    [
        [2, Conv, [20, 3, 2, 0]],
        [1, Conv, [16, 3, 1, [0]]],
        [3, DWConv, [40, 3, 2, 0, Swish]],
        [1, DWConv, [40, 5, 1, [0], HardSwish]],
        [2, FixedConv, [12, 3, 1, 0, 4]],
        [1, FixedConv, [12, 3, 1, 2]],
        [2, InvertedResidualv2, [20, 6, 2]],
        [1, InvertedResidualv2, [24, 1, 1]],
        [2, MBConv, [3, 40, 2, 5]],
        [2, Bottleneck, [48]],
        [1, Fire, [8, 20, 30]],
        [1, AvgPool, [2]],
        [1, Flatten, []],
        [1, Dropout, []],
        [1, Linear, [32, ReLU]],
        [2, Dropout, [0.1, true]],
        [1, Linear, [9]],
    ]
"""
FILES = {"example": (EXAMPLE, 32), "mobilenetv3": (MOBILENETV3, 64), "mixed": (MIXED, 64)}


def read(folder: Path, text: str, side: int | None = None) -> Architecture:
    path = folder / "model.yaml"
    path.write_text(text, encoding="utf-8")
    return Architecture.from_yaml(path, resolution=side)


def test_the_example_of_the_scripts_has_their_cost(tmp_path: Path) -> None:
    """A padding of 0 is kernel // 2: 1,446,356 multiply-adds for nine classes, with none 803,156."""
    assert cost(read(tmp_path, EXAMPLE, 32), 9).macs == 1_446_356
    none = EXAMPLE.replace("1, 0]", "1, [0]]")
    assert cost(read(tmp_path, none, 32), 9).macs == 803_156


@pytest.mark.parametrize("name", FILES)
def test_networks_compute_what_the_scripts_compute(
    tmp_path: Path, name: str, check_against_scripts: Check
) -> None:
    text, side = FILES[name]
    check_against_scripts(read(tmp_path, text, side), yaml.safe_load(text))


@pytest.mark.parametrize("name", FILES)
def test_a_file_written_means_the_same_to_us_and_to_the_scripts(
    tmp_path: Path, name: str, check_against_scripts: Check
) -> None:
    text, side = FILES[name]
    architecture = read(tmp_path, text, side)
    written = architecture.to_text(num_classes=9)
    assert read(tmp_path, written) == architecture
    check_against_scripts(architecture, yaml.safe_load(written))


def test_points_of_the_scripts_own_space_are_read_by_them(check_against_scripts: Check) -> None:
    space = nas.spaces.load("stages7")()
    rng, gated = np.random.default_rng(0), 0
    while gated < 2:
        choices = [int(rng.integers(len(decision.options))) for decision in space.decisions]
        choices[0] = 0
        architecture = space.decode(space.canonical(choices))
        if any(isinstance(layer, InvertedResidualv3GateFirst) for layer in architecture.layers):
            gated += 1
            check_against_scripts(architecture, architecture.to_content(num_classes=9))


@pytest.mark.parametrize(("expand", "first"), [(4, True), (1, False)])
def test_the_gate_comes_before_the_activation_where_a_block_expands(
    tmp_path: Path, expand: int, first: bool
) -> None:
    text = EXAMPLE.replace(
        "[1, Conv, [16, 5, 1, 0]]", f"[1, InvertedResidualv3, [3, {expand}, 16, 1, 1, 1]]"
    )
    architecture = read(tmp_path, text, 32)
    parts = [type(part).__name__ for part in build(architecture, 9).body[2].body]
    order = ["Gate", "Hardswish"] if first else ["Gate"]
    assert parts == [*["ConvBnAct"] * (1 + first), *order, "ConvBnAct"]
    assert isinstance(architecture.layers[2], InvertedResidualv3GateFirst) is first


def test_dropout_has_no_weights_and_acts_in_training_alone(tmp_path: Path) -> None:
    without = read(
        tmp_path, MIXED.replace("[1, Dropout, []],", "").replace("[2, Dropout, [0.1, true]],", ""), 64
    )
    architecture = read(tmp_path, MIXED, 64)
    assert [layer.share for layer in architecture.layers if isinstance(layer, Dropout)] == [0.5, 0.1, 0.1]
    assert cost(architecture, 9) == cost(without, 9)
    network = build(architecture, 9)
    assert [m.p for m in network.modules() if isinstance(m, nn.Dropout)] == [0.5, 0.1, 0.1]
    images = torch.rand(4, 3, 64, 64)
    with torch.no_grad():
        network.train()
        assert not torch.equal(network(images), network(images))
        network.eval()
        assert torch.equal(network(images), network(images))


FIRST_WRITER = """resolution: 32
input_channel: 3
depth_multiple: 1.0
width_multiple: 1.0
backbone:  # [repeat, module, args]
  - [1, FixedConv, [8, 3, 2, 0, 1, "Hardswish"]]
  - [1, InvertedResidualv3, [5, 4.0, 16, 1, 1, 1]]
  - [1, InvertedResidualv3, [3, 3.0, 24, 0, 1, 2]]
  - [1, GlobalAvgPool, []]
  - [1, Flatten, []]
  - [1, Linear, [6]]
"""


def test_what_the_first_writer_wrote_means_what_it_meant(tmp_path: Path) -> None:
    """Its weights are trained with no padding, and with the gate behind the activation."""
    architecture = read(tmp_path, FIRST_WRITER)
    assert architecture.key == "fabb302b26053ca9"
    assert architecture.layers[:2] == (
        Conv(8, 3, 2, 0, activation="Hardswish"),
        InvertedResidualv3(5, 4, 16, True, True, 1),
    )
    written = architecture.to_text(num_classes=6)
    assert "FixedConv, [8, 3, 2, [0], 1" in written
    assert '[5, 4.0, 16, 1, 1, 1, "after"]' in written
    assert read(tmp_path, written) == architecture


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("resolution: 32\n", "resolution: 32\nAUTHOR: them\n"),
        ('FixedConv, [8, 3, 2, 0, 1, "Hardswish"]', "Conv, [8, 3, 2, 0, 1, HardSwish]"),
        ('FixedConv, [8, 3, 2, 0, 1, "Hardswish"]', "FixedConv, [8, 3, 2, 0]"),
        ("[5, 4.0, 16", "[5, 4, 16"),
        ("width_multiple: 1.0", "width_multiple: 0.5"),
    ],
)
def test_a_file_of_the_scripts_with_a_resolution_stays_theirs(tmp_path: Path, old: str, new: str) -> None:
    assert old in FIRST_WRITER
    conv, block, *_ = read(tmp_path, FIRST_WRITER.replace(old, new)).layers
    assert isinstance(conv, Conv)
    assert conv.pad == 1
    assert isinstance(block, InvertedResidualv3GateFirst)


@pytest.mark.parametrize(
    ("space", "keys"),
    [
        ("mobilenet", ["7275a60109798046", "31159a127b7e3ee4", "29fe76a313c7e1b2"]),
        ("stages7", ["6675f100ead28643", None, "2b9aeaab6c128dea"]),  # the second has a gate
    ],
)
def test_spaces_keep_the_keys_of_what_means_the_same(space: str, keys: list[str | None]) -> None:
    """Keys that stored studies hold."""
    points, rng = nas.spaces.load(space)(), random.Random(0)
    for key in keys:
        choices = points.canonical(
            [rng.randrange(len(decision.options)) for decision in points.decisions]
        )
        assert key in (None, points.decode(choices).key)
