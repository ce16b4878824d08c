"""What every registered space must do."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

import nas.spaces
from deploy.macs import count_macs
from nas.architecture import Architecture
from nas.cost import cost
from nas.networks import build
from nas.spaces import SearchSpace

TABLE = Path(__file__).parents[3] / "shared" / "data" / "nas-bench-macro_cifar10.json"


@pytest.fixture(params=nas.spaces.REGISTRY.names())
def space(request: pytest.FixtureRequest) -> SearchSpace:
    return nas.spaces.load(request.param)()


def samples(space: SearchSpace, n: int) -> list[tuple[int, ...]]:
    rng = np.random.default_rng(0)
    return [space.sample(rng) for _ in range(n)]


def test_canonical_stands_for_the_same_network(space: SearchSpace) -> None:
    points = samples(space, 400)
    keys: dict[str, tuple[int, ...]] = {}
    for point in points:
        canonical = space.canonical(space.validate(point))
        assert space.canonical(canonical) == canonical
        assert all(type(choice) is int for choice in canonical)
        architecture = space.decode(point)
        assert space.decode(canonical) == architecture
        assert keys.setdefault(architecture.key, canonical) == canonical
    assert len(keys) == len({space.canonical(point) for point in points})


def test_costs_are_what_torch_counts(space: SearchSpace) -> None:
    for point in samples(space, 6):
        architecture = space.decode(point)
        network = build(architecture, 7).eval()
        total = cost(architecture, 7)
        assert total.params == sum(p.numel() for p in network.parameters())
        assert total.macs == count_macs(network, architecture.resolution)
        image = torch.zeros(2, 3, architecture.resolution, architecture.resolution)
        with torch.no_grad():
            assert network(image).shape == (2, 7)
            assert network.forward_features(image).ndim == 4


def test_model_file_round_trip(space: SearchSpace, tmp_path: Path) -> None:
    for point in samples(space, 20):
        architecture = space.decode(point)
        architecture.to_yaml(tmp_path / "model.yaml", num_classes=7)
        read = Architecture.from_yaml(tmp_path / "model.yaml")
        assert read == architecture
        assert read.key == architecture.key


def test_neighbours_are_other_networks_once(space: SearchSpace) -> None:
    point = space.canonical(samples(space, 1)[0])
    neighbours = list(space.neighbours(point))
    keys = {space.decode(neighbour).key for neighbour in neighbours}
    assert len(keys) == len(neighbours) > 0
    assert space.decode(point).key not in keys


def test_mutation_changes_one_decision(space: SearchSpace) -> None:
    rng = np.random.default_rng(1)
    for point in samples(space, 50):
        mutated = space.validate(space.mutate(point, rng))
        assert sum(a != b for a, b in zip(point, mutated, strict=True)) == 1


def test_sizes() -> None:
    assert nas.spaces.load("mobilenet")().size >= 1e9
    assert len(list(nas.spaces.load("toy")().points())) == 12
    assert len(list(nas.spaces.load("macro")().points())) == 3969


@pytest.mark.skipif(not TABLE.exists(), reason="NAS-Bench-Macro's table is not beside the checkout")
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
