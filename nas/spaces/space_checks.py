"""Contract checks of a search space: ``check_space(MySpace)`` in a test or a script.

With pytest, one test per check::

    @pytest.mark.parametrize("check", SPACE_CHECKS.values(), ids=SPACE_CHECKS)
    def test_contract(check):
        check(MySpace)
"""

from __future__ import annotations

import json
import math
import pickle
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

import nas.spaces
from core.contracts import Suite, expect, expect_error
from core.errors import UserError
from nas.cost import cost
from nas.spaces.base import Point, SearchSpace

_CLASSES = 7


@dataclass(frozen=True)
class SpaceCase:
    """A space under test, and its class where that was given.

    Attributes:
        space: with its own resolutions.
        kind: can be made with others.
    """

    space: SearchSpace
    kind: type[SearchSpace] | None

    def __str__(self) -> str:
        return type(self.space).__name__

    def sampled(self, n: int, seed: int = 0) -> list[Point]:
        """Draw ``n`` points."""
        rng = np.random.default_rng(seed)
        return [self.space.sample(rng) for _ in range(n)]

    def variants(self, point: Point) -> Iterator[Point]:
        """Yield ``point`` with every single decision changed to every option."""
        for place, decision in enumerate(self.space.decisions):
            for option in range(len(decision.options)):
                yield (*point[:place], option, *point[place + 1 :])

    def all_or_some(self) -> Iterator[Point]:
        """Yield every point of a small space, or samples and the points one decision away."""
        if self.space.enumerable:
            sizes = [len(decision.options) for decision in self.space.decisions]
            yield from (tuple(map(int, index)) for index in np.ndindex(*sizes))
        else:
            for point in self.sampled(12):
                yield from self.variants(point)


def _case(space: type[SearchSpace] | SearchSpace | str) -> SpaceCase:
    loaded = nas.spaces.load(space) if isinstance(space, str) else space
    return SpaceCase(loaded, None) if isinstance(loaded, SearchSpace) else SpaceCase(loaded(), loaded)


_SUITE: Suite[SpaceCase] = Suite(_case)
#: Name to check, each called with the space; in the order in which :func:`check_space` runs them.
SPACE_CHECKS = _SUITE.checks


def check_space(space: type[SearchSpace] | SearchSpace | str) -> None:
    """Run every check.

    Args:
        space: a class that can be made without arguments, an instance, or a registered name.

    Raises:
        AssertionError: a check failed; says which, and what was expected.
    """
    for check in SPACE_CHECKS.values():
        check(space)


@_SUITE.add("decisions")
def check_decisions(case: SpaceCase) -> None:
    """Check that names are unique, and options distinct, plain and fit for JSON and pickling."""
    decisions = case.space.decisions
    expect(len(decisions) > 0, "a space needs a decision")
    names = [decision.name for decision in decisions]
    expect(len(set(names)) == len(names), f"a decision's name is there twice: {names}")
    for decision in decisions:
        name, options = decision.name, decision.options
        expect(isinstance(name, str) and bool(name), f"{name!r} is not a name")
        expect(len(options) > 0, f"{name} has no options")
        plain = all(isinstance(option, bool | int | float | str) for option in options)
        expect(plain, f"{name}: options must be numbers, switches or words, got {options}")
        expect(len(set(options)) == len(options), f"{name}: an option is there twice: {options}")
        same = json.loads(json.dumps(options)) == list(options)
        expect(same, f"{name}: options do not survive JSON: {options}")
    expect(pickle.loads(pickle.dumps(decisions)) == decisions, "decisions do not survive pickling")
    expect(list(case.space.options(case.sampled(1)[0])) == names, "options() does not list the names")


@_SUITE.add("canonical points")
def check_canonical(case: SpaceCase) -> None:
    """Check that networks and canonical points correspond one to one, in Python integers."""
    space = case.space
    point_of: dict[str, Point] = {}
    key_of: dict[Point, str] = {}
    for point in case.all_or_some():
        canonical = space.canonical(point)
        at = f"at {point}"
        plain = type(canonical) is tuple and all(type(choice) is int for choice in canonical)
        expect(plain, f"{at}: canonical() must give a tuple of Python integers, got {canonical!r}")
        expect(space.validate(canonical) == canonical, f"{at}: {canonical} is no point")
        twice = space.canonical(canonical)
        expect(twice == canonical, f"{at}: canonical() twice gives {twice}, not {canonical}")
        key = space.decode(point).key
        same = space.decode(canonical).key == key
        expect(same, f"{at}: the canonical point {canonical} is another network")
        first = point_of.setdefault(key, canonical)
        expect(first == canonical, f"{at}: {canonical} and {first} are the same network")
        expect(key_of.setdefault(canonical, key) == key, f"{at}: {canonical} stands for two networks")
        array = space.canonical(np.asarray(point))  # type: ignore[arg-type]
        expect(array == canonical, f"{at}: canonical() of an array gives {array}")


@_SUITE.add("neighbours")
def check_neighbours(case: SpaceCase) -> None:
    """Check that neighbours are exactly the canonical points one decision away, each once."""
    space = case.space
    for point in case.sampled(5):
        start = space.canonical(point)
        neighbours = list(space.neighbours(start))
        keys = {space.decode(neighbour).key for neighbour in neighbours}
        expect(len(keys) == len(neighbours), f"of {start}: a network is there twice")
        expect(space.decode(start).key not in keys, f"of {start}: it is its own neighbour")
        wanted = {space.canonical(variant) for variant in case.variants(start)} - {start}
        expect(set(neighbours) == wanted, f"of {start}: not the points one decision away")
        expect(list(space.neighbours(start)) == neighbours, f"of {start}: another order every time")


@_SUITE.add("random moves")
def check_random_moves(case: SpaceCase) -> None:
    """Check that samples and mutations are valid, seeded by the generator, and reach every option."""
    space = case.space
    open_ = sum(len(decision.options) > 1 for decision in space.decisions)
    expect(case.sampled(20) == case.sampled(20), "sample() differs with the same generator (seed 0)")
    if open_ > 2:
        expect(
            case.sampled(20) != case.sampled(20, seed=1), "sample() ignores its generator (seeds 0, 1)"
        )
    points = case.sampled(max(300, 20 * max(len(d.options) for d in space.decisions)))
    for point in points:
        plain = all(type(choice) is int for choice in point) and space.validate(point) == point
        expect(plain, f"sample() gave {point!r}, which is no point in Python integers")
    for decision, column in zip(space.decisions, zip(*points, strict=True), strict=True):
        missing = set(range(len(decision.options))) - set(column)
        expect(not missing, f"sample() never drew options {missing} of {decision.name} (seed 0)")
    moved = set()
    for index, point in enumerate(points[:100]):
        mutated = space.mutate(point, np.random.default_rng([1, index]))
        again = space.mutate(point, np.random.default_rng([1, index]))
        expect(mutated == again, f"mutate({point}) differs with the same generator")
        expect(space.validate(mutated) == mutated, f"mutate({point}) gave {mutated!r}, which is no point")
        changed = [i for i, (a, b) in enumerate(zip(point, mutated, strict=True)) if a != b]
        expect(len(changed) == min(open_, 1), f"mutate({point}) gave {mutated}: not one decision changed")
        moved.update(changed)
    expect(len(moved) >= open_ / 2, "mutate() leaves most decisions alone")


@_SUITE.add("costs")
def check_costs(case: SpaceCase) -> None:
    """Check that every network has a positive, finite cost."""
    ends = [
        tuple(0 for _ in case.space.decisions),
        tuple(len(d.options) - 1 for d in case.space.decisions),
    ]
    for point in [*ends, *case.sampled(30)]:
        total = cost(case.space.decode(point), _CLASSES)
        for name, value in (("params", total.params), ("macs", total.macs)):
            expect(math.isfinite(value) and value > 0, f"at {point}: {name} is {value}")


@_SUITE.add("resolutions")
def check_resolutions(case: SpaceCase) -> None:
    """Check that networks have the requested resolutions, and that too small a resolution is refused."""
    spaces = [case.space] if case.kind is None else [case.space, case.kind((64, 48, 64))]
    for space in spaces:
        rng = np.random.default_rng(0)
        wanted = set(space.resolutions)
        resolutions = {space.decode(space.sample(rng)).resolution for _ in range(60)}
        expect(resolutions <= wanted, f"asked for resolutions {wanted}, networks have {resolutions}")
        if any(decision.name == "resolution" for decision in space.decisions):
            expect(
                resolutions == wanted, f"asked for resolutions {wanted}, networks have {resolutions} only"
            )
    if case.kind is not None:
        space_class = case.kind
        chosen = spaces[-1].resolutions
        expect(chosen == (48, 64), f"asked for resolutions 64, 48, 64; the space has {chosen}")
        expect_error(lambda: space_class((4, 32)), "resolution 4 is too small", UserError)


@_SUITE.add("wrong points")
def check_wrong_points(case: SpaceCase) -> None:
    """Check that ``validate`` refuses invalid points."""
    good = case.sampled(1)[0]
    wrongs: list[tuple[object, str]] = [
        (good[:-1], "expected"),
        ((*good, 0), "expected"),
        ((-1, *good[1:]), "outside"),
        ((len(case.space.decisions[0].options), *good[1:]), "outside"),
        ((0.5, *good[1:]), "integers"),
        ((True, *good[1:]), "integers"),
    ]
    for wrong, words in wrongs:
        expect_error(lambda point=wrong: case.space.validate(point), words, ValueError)  # type: ignore[misc]
