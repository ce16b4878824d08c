"""Model files on the command line: shown, converted, trained."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import nas.spaces
from cli import main
from nas.architecture import Architecture
from nas.cost import cost

THEIRS = """input_channel: 3
depth_multiple: 1.0
width_multiple: 0.5
backbone:
  [
    [1, Conv, [32, 3, 2, null, 1, HardSwish]],
    [2, InvertedResidualv3, [3, 3, 48, 1, 0, 2]],
    [1, MaxPool, [2]],
    [1, GlobalAvgPool, []],
    [1, FixedConv, [9, 1, 1, null, 1, null]],
  ]
"""


def run(*arguments: str | Path) -> int:
    with pytest.raises(SystemExit) as stopped:
        main([str(argument) for argument in arguments])
    return int(stopped.value.code or 0)


@pytest.fixture
def theirs(tmp_path: Path) -> Path:
    path = tmp_path / "theirs.yaml"
    path.write_text(THEIRS, encoding="utf-8")
    return path


def test_show_adds_up(theirs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("model", "show", theirs, "--image-size", 48, "--no-latency", "--json") == 0
    shown = json.loads(capsys.readouterr().out)
    total = cost(Architecture.from_yaml(theirs, resolution=48), 9)
    assert (shown["params"], shown["macs"]) == (total.params, total.macs)
    assert sum(layer["params"] for layer in shown["layers"]) == total.params
    assert sum(layer["macs"] for layer in shown["layers"]) == total.macs
    assert [layer["output"] for layer in shown["layers"]] == [
        [16, 24, 24], [24, 12, 12], [24, 12, 12], [24, 6, 6], [24, 1, 1], [9, 1, 1]
    ]  # fmt: skip
    assert "latency" not in shown


def test_show_prints_every_layer_and_the_latency(
    theirs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("model", "show", theirs, "--image-size", 48) == 0
    printed = capsys.readouterr().out
    for module in ("InvertedResidualv3", "MaxPool", "GlobalAvgPool", "FixedConv"):
        assert module in printed
    assert "ms median" in printed


def test_a_file_without_resolution_needs_one(theirs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("model", "show", theirs) == 2
    assert f"{theirs} states no resolution: set data.size" in capsys.readouterr().err
    assert run("train", "--model", theirs, "--data", "digits", "--epochs", 1) == 2
    assert "states no resolution" in capsys.readouterr().err
    assert run("latency", theirs) == 2
    assert "set data.size" in capsys.readouterr().err
    assert run("latency", theirs, "--image-size", 48) == 0
    printed = capsys.readouterr().out
    assert "9 classes" in printed and "48 px" in printed


def test_a_file_for_other_images_than_rgb_is_one_line(
    theirs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    theirs.write_text(THEIRS.replace("input_channel: 3", "input_channel: 1"), encoding="utf-8")
    complaint = f"minnow: error: {theirs}: 'input_channel' is 1: images are read as RGB, so it must be 3"
    assert run("model", "show", theirs, "--image-size", 48) == 2
    assert capsys.readouterr().err.splitlines() == [complaint]
    assert run("train", "--model", theirs, "--data", "digits", "--image-size", 32) == 2
    assert capsys.readouterr().err.splitlines() == [complaint]


@pytest.mark.parametrize("space", ["mobilenet", "macro", "stages7"])
def test_any_network_of_a_space_converts_to_an_equal_one(tmp_path: Path, space: str) -> None:
    searched = nas.spaces.load(space)()
    rng = np.random.default_rng(0)
    for number in range(6):
        made = searched.decode(searched.sample(rng))
        once, twice = tmp_path / f"{number}.yaml", tmp_path / f"{number}-again.yaml"
        made.to_yaml(once, num_classes=6)
        assert run("model", "convert", once, twice) == 0
        assert Architecture.from_yaml(twice).key == made.key
        assert twice.read_text(encoding="utf-8") == once.read_text(encoding="utf-8")


def test_convert_overwrites_nothing(theirs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("model", "convert", theirs, theirs, "--image-size", 48) == 2
    assert "exists already" in capsys.readouterr().err
    assert theirs.read_text(encoding="utf-8") == THEIRS


def test_their_file_is_trained_for_the_classes_of_the_data(
    theirs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    job = ("train", "--model", theirs, "--data", "digits", "--image-size", 32)
    assert run(*job, "--epochs", 1, "--balance", "post-hoc", "--out", out) == 0
    captured = capsys.readouterr()
    assert "is for 9 classes; here it gets the 10 of the data" in captured.err
    metrics = json.loads((out / "student" / "metrics.json").read_text())
    assert metrics["params"] == cost(Architecture.from_yaml(theirs, resolution=32), 10).params
    assert run("model", "show", out, "--no-latency", "--json") == 0
    shown = capsys.readouterr()
    assert json.loads(shown.out)["params"] == metrics["params"]
    assert "--classes" not in shown.err
    assert run("export", out) == 0
    assert "output logits (N, 10)" in capsys.readouterr().err


def test_post_hoc_is_left_out_where_logits_are_not_plain(
    theirs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    theirs.write_text(THEIRS.replace("[9, 1, 1, null, 1, null]", "[9, 1, 1]"), encoding="utf-8")
    job = ("train", "--model", theirs, "--data", "digits", "--image-size", 32, "--epochs", 1)
    assert run(*job, "--out", tmp_path / "run") == 0
    assert "but this network ends in ReLU: left out" in capsys.readouterr().err
    metrics = json.loads((tmp_path / "run" / "student" / "metrics.json").read_text())
    assert metrics["balance"] == {"mode": "none", "tau": None}
