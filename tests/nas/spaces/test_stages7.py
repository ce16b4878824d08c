"""stages7 against the model files that its genes mean, and one point per network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

import nas.strategies
from nas.architecture import Architecture
from nas.cost import cost
from nas.layers import Conv, InvertedResidualv3
from nas.objectives import Objectives
from nas.spaces.stages7.space import Stages7

SPACE = Stages7((64,))


def halvings(architecture: Architecture) -> int:
    return sum(getattr(layer, "stride", 1) == 2 for layer in architecture.layers)


def genes(point: tuple[int, ...]) -> dict[str, Any]:
    return SPACE.options(point)


def row(values: dict[str, Any], stage: str, stride: int) -> list[Any]:
    """The row that a tune.py script writes for a stage."""
    at = {
        name.removeprefix(f"{stage}."): value for name, value in values.items() if name.startswith(stage)
    }
    kind, out, kernel, activation = (at[name] for name in ("kind", "channels", "kernel", "activation"))
    args = {
        "Conv": [out, kernel, stride, None, 1, activation],
        "DWConv": [out, kernel, stride, None, activation],
        "InvertedResidualv2": [out, at.get("v2_expand"), stride],
        "InvertedResidualv3": [
            max(3, kernel), at.get("v3_expand"), out, at.get("squeeze_excite"), activation == "Hardswish", stride
        ],
    }[kind]  # fmt: skip
    return [at["repeat"], kind, args]


def as_file(path: Path, point: tuple[int, ...], strides: list[int]) -> Architecture:
    """The network of the model file that says what the genes say, with these strides of its stages."""
    values = genes(point)
    rows = [
        row(values, f"stage{number}", stride)
        for number, stride in enumerate(strides, start=1)
        if values[f"stage{number}.kind"] != "Pass"
    ]
    rows += [[1, "Conv", [values["last.channels"], 1, 1]]]
    rows += [[1, "GlobalAvgPool", []], [1, "Flatten", []], [1, "Linear", [6]]]
    top = {name: values[name] for name in ("resolution", "depth_multiple", "width_multiple")}
    path.write_text(yaml.safe_dump({**top, "backbone": rows}), encoding="utf-8")
    return Architecture.from_yaml(path)


def same_blocks(one: Architecture, other: Architecture) -> bool:
    """Equal but for how V3 expansions are written: the channels they give are compared."""

    def plain(architecture: Architecture) -> list[Any]:
        return [
            (layer, 0)
            if not isinstance(layer, InvertedResidualv3)
            else ({**vars(layer), "expand": 0}, layer.hidden(shape[0]))
            for layer, shape in zip(architecture.layers, architecture.shapes, strict=True)
        ]

    return plain(one) == plain(other)


def test_a_point_is_the_model_file_that_its_genes_mean(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    compared = 0
    for _ in range(300):
        point = SPACE.sample(rng)
        values = genes(point)
        there = [values[f"stage{number}.kind"] != "Pass" for number in range(1, 8)]
        strides = [
            values[f"stage{number}.stride"] if on else 1 for number, on in enumerate(there, start=1)
        ]
        if 3 <= strides.count(2) <= 5:
            assert same_blocks(SPACE.decode(point), as_file(tmp_path / "m.yaml", point, strides))
            compared += 1
    assert compared > 100


def test_strides_are_mended(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    names = [decision.name for decision in SPACE.decisions]
    for wanted, expected in ((1, [2, 2, 2, 1, 1, 1, 1]), (2, [2, 2, 2, 2, 2, 1, 1])):
        point = list(SPACE.sample(rng))
        for number in range(1, 8):
            point[names.index(f"stage{number}.stride")] = wanted - 1
            point[names.index(f"stage{number}.kind")] = number % 2
        made = SPACE.decode(point)
        assert same_blocks(made, as_file(tmp_path / "m.yaml", tuple(point), expected))


def test_networks_are_halved_three_to_five_times_and_built_of_three_stages_or_more() -> None:
    rng = np.random.default_rng(2)
    found = {halvings(SPACE.decode(SPACE.sample(rng))) for _ in range(500)}
    assert found == {3, 4, 5}
    nothing = [0] * len(SPACE.decisions)
    for index, decision in enumerate(SPACE.decisions):
        if decision.name.endswith("kind"):
            nothing[index] = len(decision.options) - 1
    assert len(SPACE.decode(nothing).layers) == 3 + 1 + 3  # three stages, the last convolution, the head


def test_another_way_to_say_a_network_is_the_same_point() -> None:
    """Passes elsewhere, multiples that come to the same, equal stages as one: found by changing both genes
    of random pairs, and compared by the network itself."""
    rng = np.random.default_rng(3)
    point_of: dict[str, tuple[int, ...]] = {}
    met_again = 0
    for _ in range(30):
        start = list(SPACE.sample(rng))
        start[4:] = [gene % 2 for gene in start[4:]]  # few options: networks meet again
        for _ in range(150):
            point = list(start)
            for place in rng.choice(len(point), 3, replace=False):
                point[place] = int(rng.integers(min(5, len(SPACE.decisions[place].options))))
            made, canonical = SPACE.decode(point), SPACE.canonical(point)
            assert SPACE.decode(canonical) == made
            met_again += made.key in point_of and tuple(point) != canonical
            assert point_of.setdefault(made.key, canonical) == canonical
    assert met_again > 100


def test_a_pass_between_stages_and_two_equal_stages_are_found() -> None:
    names = [decision.name for decision in SPACE.decisions]

    def point(**chosen: int) -> list[int]:
        made = [0, 3, 3, 0, *[0] * (len(names) - 4)]
        for number in range(2, 8):
            made[names.index(f"stage{number}.kind")] = 4
        for name, option in chosen.items():
            made[names.index(name.replace("_of_", "."))] = option
        return made

    split = {"kind_3": 0, "kind_4": 0, "kind_6": 0}
    strided = {f"stage{n}_of_stride": 1 for n in (1, 4, 6)}
    one = point(**{f"stage{n[-1]}_of_kind": v for n, v in split.items()}, **strided)
    other = point(stage2_of_kind=0, stage3_of_kind=0, stage1_of_stride=1, stage2_of_stride=1,
                  stage2_of_repeat=1, stage3_of_stride=1)  # fmt: skip
    assert [type(layer) for layer in SPACE.decode(one).layers[:4]] == [Conv] * 4
    assert SPACE.decode(one) == SPACE.decode(other)
    assert SPACE.canonical(one) == SPACE.canonical(other)


@pytest.mark.parametrize("name", nas.strategies.REGISTRY.builtins)
def test_every_strategy_searches_it_within_limits(name: str) -> None:
    objectives = Objectives.parse(["f1:max"], ["params<=300k", "macs<=8M"])
    strategy = nas.strategies.load(name)(SPACE, objectives, seed=0, num_classes=6)
    keys = set()
    for _ in range(14):
        proposal = strategy.ask()
        total = cost(proposal.architecture, 6)
        assert total.params <= 300_000
        assert total.macs <= 8_000_000
        keys.add(proposal.architecture.key)
        score = 1 - 1 / np.log(total.macs)
        strategy.tell(proposal.complete({"f1": score, "params": total.params, "macs": total.macs}))
    assert len(keys) == 14
