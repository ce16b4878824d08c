"""Each check of the kit for spaces can fail: a space that breaks it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from nas.architecture import Architecture
from nas.spaces import Decision, SearchSpace
from nas.spaces.mobilenet import MobileNet
from nas.spaces.space_checks import SPACE_CHECKS, check_space
from nas.spaces.toy import Toy


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


class Fixed(Toy):
    """Ignores the resolutions asked for."""

    def decode(self, choices: Sequence[int]) -> Architecture:
        return replace(super().decode(choices), resolution=96)


class Largest(MobileNet):
    """Decides on a resolution and uses the largest."""

    def decode(self, choices: Sequence[int]) -> Architecture:
        return super().decode((len(self.resolutions) - 1, *choices[1:]))


class Tiny(Toy):
    """Takes any resolution."""

    def __init__(self, resolutions: Sequence[int] | None = None) -> None:
        super().__init__([max(side, 8) for side in resolutions or (32,)])


class Free(Toy):
    """Networks of no layers, which cost nothing."""

    def decode(self, choices: Sequence[int]) -> Any:
        return SimpleNamespace(layers=(), shapes=(), resolution=32, key=str(choices))


class Lenient(Toy):
    """Takes anything for a point."""

    def validate(self, choices: Sequence[int]) -> tuple[int, ...]:
        return tuple(int(choice) for choice in choices)


BROKEN: list[tuple[type[SearchSpace], str]] = [
    (Repeating, "decisions"),
    (Nested, "decisions"),
    (Uncanonical, "canonical points"),
    (Merging, "canonical points"),
    (Swinging, "canonical points"),
    (NumpyIntegers, "canonical points"),
    (Lonely, "neighbours"),
    (Uncanonical, "neighbours"),
    (Lazy, "random moves"),
    (Unmoved, "random moves"),
    (Free, "costs"),
    (Fixed, "resolutions"),
    (Largest, "resolutions"),
    (Tiny, "resolutions"),
    (Lenient, "wrong points"),
]


@pytest.mark.parametrize(("broken", "check"), BROKEN)
def test_checks_can_fail(broken: type[SearchSpace], check: str) -> None:
    with pytest.raises(AssertionError, match=f"{broken.__name__} fails the check '{check}': "):
        SPACE_CHECKS[check](broken)


def test_every_check_has_a_space_that_fails_it() -> None:
    assert {check for _, check in BROKEN} == set(SPACE_CHECKS)


def test_an_instance_is_checked_with_its_own_resolutions() -> None:
    check_space(Toy((48,)))
