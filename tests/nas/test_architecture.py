"""Architectures as data: identity, checks, files, and cost against hand counts."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from core.errors import UserError
from nas.architecture import Architecture, classifier
from nas.cost import Cost, cost
from nas.layers import (
    Conv,
    ConvClassifier,
    Flatten,
    GlobalAvgPool,
    InvertedResidualv2,
    InvertedResidualv3,
    Layer,
    Linear,
)
from nas.timm_layers import InvertedResidual

ROOT = Path(__file__).parents[2]
HEAD: tuple[Layer, ...] = (GlobalAvgPool(), Flatten(), Linear())
GOOD = """resolution: 32
input_channel: 3
depth_multiple: 1.0
width_multiple: 1.0
backbone:
  - [1, Conv, [8, 3]]
  - [1, GlobalAvgPool, []]
  - [1, Flatten, []]
  - [1, Linear, [6]]
"""


@pytest.mark.parametrize(
    ("one", "same"),
    [
        (Conv(16, 3), Conv(16, 3, 1, 1)),  # padding None is kernel // 2
        (InvertedResidualv2(16, 2, 1), InvertedResidualv2(16, 2.0, 1)),
        (InvertedResidualv3(3, 2, 16, True, False, 1), InvertedResidualv3(3, 2.0, 16, 1, 0, 1)),  # type: ignore[arg-type]
    ],
)
def test_the_same_network_has_one_key(one: Layer, same: Layer) -> None:
    first, second = (classifier(32, (Conv(8, 3), layer)) for layer in (one, same))
    assert first == second
    assert hash(first) == hash(second)
    assert first.key == second.key


def test_other_networks_have_other_keys() -> None:
    body: tuple[Layer, ...] = (Conv(8, 3), InvertedResidualv3(3, 2, 16, True, False, 1))
    others = [
        classifier(32, body),
        classifier(40, body),
        classifier(32, body, input_channels=1),
        classifier(32, body, base="tf_efficientnet_lite0"),
        classifier(32, body[:1]),
        classifier(32, (Conv(8, 5), *body[1:])),
        classifier(32, (Conv(8, 3, padding=0), *body[1:])),
        classifier(32, (Conv(8, 3, activation=None), *body[1:])),
        classifier(32, (*body[:1], InvertedResidualv3(3, 2, 16, True, True, 1))),
        classifier(32, (*body[:1], InvertedResidualv2(16, 2, 1))),
    ]
    assert len({architecture.key for architecture in others}) == len(set(others)) == len(others)


def test_the_key_is_the_same_in_another_process() -> None:
    code = (
        "from nas.architecture import classifier; from nas.layers import Conv;"
        "print(classifier(32, (Conv(8, 3),)).key)"
    )
    out = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert out.stdout.strip() == classifier(32, (Conv(8, 3),)).key


@pytest.mark.parametrize(
    ("layers", "complaint"),
    [
        ((), "exactly one layer must be the classifier, found 0"),
        ((Conv(8, 3), GlobalAvgPool(), Flatten()), "exactly one layer must be the classifier, found 0"),
        ((Conv(8, 3), GlobalAvgPool(), Flatten(), Linear(), Linear()), "the classifier, found 2"),
        ((Conv(8, 3), Linear()), "needs a flat input, got 32x32"),
        ((Conv(8, 3), ConvClassifier()), "ends with 32x32 logits per class; add GlobalAvgPool"),
        ((Conv(8, 3), ConvClassifier(), Flatten()), "ends with 1024 logits per class; put GlobalAvgPool"),
        ((Conv(8, 3), GlobalAvgPool(), Linear()), "needs a flat input; put Flatten before it"),
        ((GlobalAvgPool(), Flatten(), Conv(8, 1), Linear()), "layer 2 .Conv. needs feature maps"),
        (
            (GlobalAvgPool(), Flatten(), Linear(), GlobalAvgPool()),
            "layer 3 .GlobalAvgPool. needs feature",
        ),
        ((*HEAD, Conv(8, 1)), "Conv after the classifier: only pooling and Flatten may"),
        ((Conv(8, 3, groups=2), *HEAD), r"layer 0 \(Conv\): 3 input and 8 output channels"),
        ((Conv(8, 40, padding=0), *HEAD), r"layer 0 \(Conv\): a 32x32 input is too small for kernel 40"),
        ((Conv(8, 3, activation="Swoosh"), *HEAD), "unknown activation 'Swoosh'"),
        ((Conv(8, 3), InvertedResidualv3(4, 1, 8, False, False, 1), *HEAD), "kernel must be odd"),
        (
            (Conv(8, 3), InvertedResidual(8, 16, 2, 1, True, "ReLU"), *HEAD),
            "residual needs an odd kernel",
        ),
    ],
)
def test_what_cannot_be_built_cannot_be_made(layers: tuple[Layer, ...], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        Architecture(32, 3, layers)


@pytest.mark.parametrize("numbers", [(0, 3), (32, 0)])
def test_sizes_are_positive(numbers: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="must be positive"):
        Architecture(*numbers, HEAD)


def test_shapes() -> None:
    architecture = classifier(33, (Conv(8, 3, 2), InvertedResidualv2(16, 2, 2), Conv(24, 1, padding=1)))
    assert architecture.shapes == (
        (3, 33, 33),
        (8, 17, 17),
        (16, 9, 9),
        (24, 11, 11),
        (24, 1, 1),
        (24, 1, 1),
    )


def test_cost_by_hand() -> None:
    stem = Cost(3 * 8 * 9 + 2 * 8, 3 * 8 * 9 * 16 * 16)
    linear = Cost(8 * 5 + 5, 8 * 5)
    assert cost(classifier(32, (Conv(8, 3, 2),)), 5) == stem + linear
    # expansion 8 -> 16 at 16 x 16, depthwise 5 x 5 to 8 x 8, gate 16 -> 8 -> 16 with biases, projection 16 -> 24
    block = Cost(
        (8 * 16 + 32) + (16 * 25 + 32) + (16 * 8 + 8 + 8 * 16 + 16) + (16 * 24 + 48),
        8 * 16 * 256 + 16 * 25 * 64 + 2 * 16 * 8 + 16 * 24 * 64,
    )
    wide = Cost(24 * 5 + 5, 24 * 5)
    layers = (Conv(8, 3, 2), InvertedResidualv3(5, 2, 24, True, True, 2))
    assert cost(classifier(32, layers), 5) == stem + block + wide


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        (
            "resolution: 32",
            "resolution: big",
            "'resolution' must be the side of the input image in pixels, got 'big'",
        ),
        ("resolution: 32\n", "", "'resolution' must be"),
        (
            "input_channel: 3",
            "input_channel: three",
            "'input_channel' must be a positive number, got 'three'",
        ),
        (
            "input_channel: 3",
            "input_channel: null",
            "'input_channel' must be a positive number, got None",
        ),
        ("depth_multiple: 1.0", "depth_multiple: 0", "'depth_multiple' must be a positive number, got 0"),
        (
            "depth_multiple: 1.0",
            "depth_multiple: .inf",
            "'.inf' is no finite number",
        ),
        (
            "width_multiple: 1.0",
            "width_multiple: .nan",
            "'.nan' is no finite number",
        ),
        ("width_multiple: 1.0", "width_multiple: wide", "'width_multiple' must be a positive number"),
        ("width_multiple: 1.0", "base: [a]", "'base' must be the name of a pretrained network"),
        (GOOD[GOOD.index("backbone") :], "backbone: []", "'backbone' must be a list"),
        (GOOD[GOOD.index("backbone") :], "", "'backbone' must be a list"),
        (GOOD, "- 1", "expected a mapping"),
        (GOOD, "a: [", "not valid YAML"),
        (GOOD, "", "expected a mapping"),
        (
            "[1, Linear, [6]]",
            "[1, Fire, [6, 6, 6]]",
            "the last layer with weights must be Linear or Conv",
        ),
        ("  - [1, GlobalAvgPool, []]\n  - [1, Flatten, []]\n", "", "needs a flat input, got 32x32"),
    ],
)
def test_a_malformed_file_is_one_line(tmp_path: Path, old: str, new: str, complaint: str) -> None:
    path = tmp_path / "model.yaml"
    assert old in GOOD
    path.write_text(GOOD.replace(old, new), encoding="utf-8")
    with pytest.raises(UserError) as error:
        Architecture.from_yaml(path)
    assert "\n" not in str(error.value)
    assert str(path) in str(error.value)
    assert complaint in str(error.value)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not exist"):
        Architecture.from_yaml(tmp_path / "none.yaml")
    with pytest.raises(UserError, match="cannot be read"):
        Architecture.from_yaml(tmp_path)
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00\x80")
    with pytest.raises(UserError, match=r"binary\.yaml"):
        Architecture.from_yaml(tmp_path / "binary.yaml")


def test_file_round_trip_keeps_everything(tmp_path: Path) -> None:
    layers = (Conv(8, 3, 2, 0), InvertedResidualv2(16, 1.5, 1, 5, None))
    architecture = classifier(48, layers, input_channels=1, base="tf_efficientnet_lite0: #1")
    architecture.to_yaml(tmp_path / "model.yaml", num_classes=6)
    read = Architecture.from_yaml(tmp_path / "model.yaml")
    assert (read, read.key) == (architecture, architecture.key)
    assert Architecture.from_yaml(tmp_path / "model.yaml", resolution=64).resolution == 64
    assert "[1, Linear, [6]]" in (tmp_path / "model.yaml").read_text(encoding="utf-8")
