"""Every registered space passes the kit, and its networks are what torch builds."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

import nas.spaces
from nas.architecture import Architecture
from nas.cost import cost
from nas.networks import build
from nas.spaces import SearchSpace
from nas.spaces.space_checks import SPACE_CHECKS
from nas.spaces.toy import Toy
from teachers.ensemble import count_macs

TABLE = Path(__file__).parents[3] / "shared" / "data" / "nas-bench-macro_cifar10.json"
SPACES = nas.spaces.REGISTRY.names()
needs_table = pytest.mark.skipif(
    not TABLE.exists(), reason="NAS-Bench-Macro's table is not beside the checkout"
)


def sampled(space: SearchSpace, n: int, seed: int = 0) -> list[tuple[int, ...]]:
    rng = np.random.default_rng(seed)
    return [space.sample(rng) for _ in range(n)]


@pytest.fixture(params=SPACES)
def space(request: pytest.FixtureRequest) -> SearchSpace:
    return nas.spaces.load(request.param)()


@pytest.mark.parametrize("check", SPACE_CHECKS.values(), ids=SPACE_CHECKS.keys())
@pytest.mark.parametrize("name", SPACES)
def test_contract(name: str, check: Callable[..., None]) -> None:
    check(name)


def test_every_network_builds_and_costs_what_torch_counts(space: SearchSpace) -> None:
    ends = [(0,) * len(space.decisions), tuple(len(d.options) - 1 for d in space.decisions)]
    for point in [*ends, *sampled(space, 8)]:
        architecture = space.decode(point)
        network = build(architecture, 7).eval()
        total = cost(architecture, 7)
        assert total.params == sum(p.numel() for p in network.parameters())
        assert total.macs == count_macs(network, architecture.resolution)
        image = torch.zeros(2, 3, architecture.resolution, architecture.resolution)
        with torch.no_grad():
            assert network(image).shape == (2, 7)
            features = network.forward_features(image)
        assert features.shape == (2, *architecture.shapes[-3])


def test_a_training_step_changes_every_weight(space: SearchSpace) -> None:
    """Nothing that is built is left out of the graph."""
    torch.manual_seed(0)
    architecture = space.decode(sampled(space, 1)[0])
    network = build(architecture, 3)
    image = torch.randn(4, 3, architecture.resolution, architecture.resolution)
    network(image).square().sum().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name


def test_model_file_round_trip(space: SearchSpace, tmp_path: Path) -> None:
    for point in sampled(space, 20):
        architecture = space.decode(point)
        architecture.to_yaml(tmp_path / "model.yaml", num_classes=7)
        read = Architecture.from_yaml(tmp_path / "model.yaml")
        assert (read, read.key) == (architecture, architecture.key)


def test_sizes() -> None:
    assert nas.spaces.load("mobilenet")().size >= 1e9
    assert len(list(Toy().points())) == 12
    assert len(list(nas.spaces.load("macro")().points())) == 3969


@pytest.mark.parametrize("resolutions", [(32,), (64, 48), (96, 128, 96)])
def test_resolutions_are_chosen_from(resolutions: tuple[int, ...]) -> None:
    space = nas.spaces.load("mobilenet")(resolutions)
    assert space.resolutions == tuple(sorted(set(resolutions)))
    found = {space.decode(point).resolution for point in sampled(space, 60)}
    assert found == set(resolutions)


@needs_table
def test_cost_model_equals_the_published_table() -> None:
    table = json.loads(TABLE.read_text(encoding="utf-8"))
    space = nas.spaces.load("macro")()
    assert len(table) == space.size == 6561
    for code, row in table.items():
        total = cost(space.decode(tuple(map(int, code))), 10)
        assert (total.params, total.macs) == (row["params"], row["flops"]), code
    rng = np.random.default_rng(0)
    for code in rng.choice(list(table), 50, replace=False):
        network = build(space.decode(tuple(map(int, code))), 10)
        assert sum(p.numel() for p in network.parameters()) == table[code]["params"]


@needs_table
def test_the_same_network_has_about_the_same_published_accuracy() -> None:
    """Points with one canonical form were trained as one network: they differ by seed noise only."""
    table = json.loads(TABLE.read_text(encoding="utf-8"))
    space = nas.spaces.load("macro")()
    groups: dict[tuple[int, ...], list[float]] = {}
    for code, row in table.items():
        groups.setdefault(space.canonical(tuple(map(int, code))), []).append(row["mean_acc"])
    within = np.mean([np.std(values) for values in groups.values() if len(values) > 1])
    overall = np.std([row["mean_acc"] for row in table.values()])
    assert within < overall / 5
