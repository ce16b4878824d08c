"""What every registered space must do, and spaces that do it wrong, to show that each check can fail."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

import nas.spaces
from deploy.macs import count_macs
from nas.architecture import Architecture
from nas.cost import cost
from nas.errors import UserError
from nas.networks import build
from nas.spaces import Decision, SearchSpace
from nas.spaces.toy import Toy

TABLE = Path(__file__).parents[3] / "shared" / "data" / "nas-bench-macro_cifar10.json"
SPACES = nas.spaces.REGISTRY.names()
needs_table = pytest.mark.skipif(
    not TABLE.exists(), reason="NAS-Bench-Macro's table is not beside the checkout"
)


def sampled(space: SearchSpace, n: int, seed: int = 0) -> list[tuple[int, ...]]:
    rng = np.random.default_rng(seed)
    return [space.sample(rng) for _ in range(n)]


def variants(space: SearchSpace, point: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    """``point`` with every single decision changed to every option."""
    for place, decision in enumerate(space.decisions):
        for option in range(len(decision.options)):
            yield (*point[:place], option, *point[place + 1 :])


def all_or_some(space: SearchSpace) -> list[tuple[int, ...]]:
    """Every point of a small space; of a large one, samples and everything one decision away."""
    if space.size <= 10_000:
        return [tuple(index) for index in np.ndindex(*(len(d.options) for d in space.decisions))]
    return [variant for point in sampled(space, 12) for variant in variants(space, point)]


def check_canonical(space: SearchSpace) -> None:
    """One canonical point per network, one network per canonical point, in Python integers."""
    point_of: dict[str, tuple[int, ...]] = {}
    key_of: dict[tuple[int, ...], str] = {}
    for point in all_or_some(space):
        canonical = space.canonical(point)
        assert space.validate(canonical) == canonical
        assert type(canonical) is tuple
        assert all(type(choice) is int for choice in canonical), "not Python integers"
        assert space.canonical(canonical) == canonical, "not idempotent"
        key = space.decode(point).key
        assert space.decode(canonical).key == key, "the canonical point is another network"
        assert point_of.setdefault(key, canonical) == canonical, "two canonical points of one network"
        assert key_of.setdefault(canonical, key) == key
        assert space.canonical(np.asarray(point)) == canonical  # type: ignore[arg-type]


def check_decisions(space: SearchSpace) -> None:
    """Named once, with different plain options: they go into files and databases."""
    names = [decision.name for decision in space.decisions]
    assert len(set(names)) == len(names), "a name twice"
    for decision in space.decisions:
        assert decision.options, "no options"
        assert all(isinstance(option, bool | int | float | str) for option in decision.options), (
            "not plain"
        )
        assert len(set(decision.options)) == len(decision.options), "an option twice"
        assert json.loads(json.dumps(decision.options)) == list(decision.options)
    point = sampled(space, 1)[0]
    assert list(space.options(point)) == names


def check_neighbours(space: SearchSpace) -> None:
    """Canonical points, each another network, each once, and the relation is that of one decision."""
    for point in sampled(space, 5):
        start = space.canonical(point)
        neighbours = list(space.neighbours(start))
        keys = {space.decode(neighbour).key for neighbour in neighbours}
        assert len(keys) == len(neighbours) > 0, "a network twice"
        assert space.decode(start).key not in keys, "its own neighbour"
        assert set(neighbours) == {space.canonical(v) for v in variants(space, start)} - {start}


def check_random_moves(space: SearchSpace) -> None:
    """Samples and mutations are points, depend on the generator alone, and reach every option."""
    assert sampled(space, 20) == sampled(space, 20)
    assert sampled(space, 20) != sampled(space, 20, seed=1)
    seen = [set(column) for column in zip(*sampled(space, 300), strict=True)]
    assert [len(options) for options in seen] == [len(d.options) for d in space.decisions]
    rng = np.random.default_rng(1)
    moved = set()
    for point in sampled(space, 100):
        mutated = space.mutate(point, rng)
        assert space.validate(mutated) == mutated
        changed = [i for i, (a, b) in enumerate(zip(point, mutated, strict=True)) if a != b]
        assert len(changed) == 1, "not one decision"
        moved.update(changed)
    assert len(moved) > len(space.decisions) / 2


@pytest.fixture(params=SPACES)
def space(request: pytest.FixtureRequest) -> SearchSpace:
    return nas.spaces.load(request.param)()


@pytest.mark.parametrize(
    "check", [check_canonical, check_decisions, check_neighbours, check_random_moves]
)
def test_contract(space: SearchSpace, check: object) -> None:
    check(space)  # type: ignore[operator]


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


def test_wrong_points_are_refused(space: SearchSpace) -> None:
    good = sampled(space, 1)[0]
    for wrong in (
        good[:-1],
        (*good, 0),
        (-1, *good[1:]),
        (99, *good[1:]),
        (0.5, *good[1:]),
        (True, *good[1:]),
    ):
        with pytest.raises(ValueError, match=r"expected|outside|integers"):
            space.validate(wrong)  # type: ignore[arg-type]


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


@pytest.mark.parametrize("name", SPACES)
def test_a_tiny_resolution_is_refused(name: str) -> None:
    with pytest.raises(UserError, match="resolution 4 is too small"):
        nas.spaces.load(name)((4, 32))


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


# --- spaces that break one rule each -----------------------------------------------------------------------


class Uncanonical(Toy):
    """The kernel of an absent block stays."""

    def canonical(self, choices: Sequence[int]) -> tuple[int, ...]:
        return tuple(int(choice) for choice in choices)


class Merging(Toy):
    """One canonical point for two networks."""

    def canonical(self, choices: Sequence[int]) -> tuple[int, ...]:
        return (0, *super().canonical(choices)[1:])


class Swinging(Toy):
    """Not idempotent."""

    def canonical(self, choices: Sequence[int]) -> tuple[int, ...]:
        width, depth, kernel1, kernel2 = super().canonical(choices)
        return width, depth, kernel1, kernel2 if depth else 1 - int(choices[3])


class NumpyIntegers(Toy):
    """Canonical points in numpy's integers."""

    def canonical(self, choices: Sequence[int]) -> tuple[int, ...]:
        return tuple(np.asarray(super().canonical(choices)))


class Repeating(Toy):
    """An option twice."""

    def make_decisions(self) -> tuple[Decision, ...]:
        return (Decision("width", (8, 8)), *super().make_decisions()[1:])


class Nested(Toy):
    """Options that no database holds."""

    def make_decisions(self) -> tuple[Decision, ...]:
        return (Decision("width", ((8,), (16,))), *super().make_decisions()[1:])


class Lonely(Toy):
    """Counts itself among its neighbours."""

    def neighbours(self, choices: Sequence[int]) -> Iterator[tuple[int, ...]]:
        yield self.canonical(choices)
        yield from super().neighbours(choices)


class Lazy(Toy):
    """Never draws the last option."""

    def sample(self, rng: np.random.Generator) -> tuple[int, ...]:
        return (*super().sample(rng)[:3], 0)


class Unmoved(Toy):
    """Mutates into the same point now and then."""

    def mutate(self, choices: Sequence[int], rng: np.random.Generator) -> tuple[int, ...]:
        return tuple(choices) if rng.random() < 0.1 else super().mutate(choices, rng)


@pytest.mark.parametrize(
    ("broken", "check"),
    [
        (Uncanonical, check_canonical),
        (Merging, check_canonical),
        (Swinging, check_canonical),
        (NumpyIntegers, check_canonical),
        (Repeating, check_decisions),
        (Nested, check_decisions),
        (Lonely, check_neighbours),
        (Uncanonical, check_neighbours),
        (Lazy, check_random_moves),
        (Unmoved, check_random_moves),
    ],
)
def test_checks_can_fail(broken: type[SearchSpace], check: object) -> None:
    with pytest.raises(AssertionError):
        check(broken())  # type: ignore[operator]
