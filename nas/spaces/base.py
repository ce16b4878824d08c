"""The search-space contract: named decisions, and the decoding of choices to a network."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, ClassVar

import numpy as np

from core.config import MAX_SIDE, MIN_SIDE
from core.errors import UserError
from nas.architecture import Architecture

#: One option index per decision.
Point = tuple[int, ...]
_ENUMERABLE = 10_000  # points


@dataclass(frozen=True)
class Decision:
    """A named decision of a space with its options.

    Attributes:
        name: unique within the space, for tables and studies.
        options: what can be chosen; a point of the space holds indices into them.
    """

    name: str
    options: tuple[Any, ...]


class SearchSpace(ABC):
    """A finite set of networks, described by decisions.

    A *point* is one option index per decision. A space implements :meth:`decode`, and
    :meth:`canonical` where different points give the same network. Sampling and neighbourhoods follow.

    Args:
        resolutions: input resolutions to choose from, 8 to 4,096 pixels.

    Raises:
        UserError: a resolution is out of this range.
    """

    default_resolutions: ClassVar[tuple[int, ...]] = (96, 128, 160)
    least_share: ClassVar[float] = (
        0.5  # of the stored side, that a search considers unless told otherwise
    )
    decisions: tuple[Decision, ...]

    def __init__(self, resolutions: Sequence[int] | None = None) -> None:
        chosen = tuple(sorted(set(resolutions or self.default_resolutions)))
        if chosen[0] < MIN_SIDE:
            raise UserError(
                f"resolution {chosen[0]} is too small: a network needs at least {MIN_SIDE} pixels"
            )
        if chosen[-1] > MAX_SIDE:
            raise UserError(f"resolution {chosen[-1]} is too large: choose at most {MAX_SIDE} pixels")
        self.resolutions = chosen
        self.decisions = self.make_decisions()

    @abstractmethod
    def make_decisions(self) -> tuple[Decision, ...]:
        """Return the decisions, in order; ``self.resolutions`` is set."""

    @abstractmethod
    def decode(self, choices: Sequence[int]) -> Architecture:
        """Return the network at a point."""

    def canonical(self, choices: Sequence[int]) -> tuple[int, ...]:
        """Return the point that stands for all points with the same network (inactive genes are 0)."""
        return tuple(int(choice) for choice in choices)

    @property
    def size(self) -> int:
        """Number of points; at least the number of different networks."""
        return math.prod(len(decision.options) for decision in self.decisions)

    @property
    def enumerable(self) -> bool:
        """True where the space is small enough to enumerate its points."""
        return self.size <= _ENUMERABLE

    def validate(self, choices: Sequence[int]) -> tuple[int, ...]:
        """Return ``choices`` as a tuple of Python integers.

        Raises:
            ValueError: wrong length or an index outside its options; says which.
        """
        if len(choices) != len(self.decisions):
            raise ValueError(f"expected {len(self.decisions)} choices, got {len(choices)}")
        for choice, decision in zip(choices, self.decisions, strict=True):
            if isinstance(choice, bool) or not isinstance(choice, int | np.integer):
                raise ValueError(f"{decision.name}: choices are integers, got {choice!r}")
            if not 0 <= choice < len(decision.options):
                raise ValueError(
                    f"{decision.name}: option {choice} is outside 0..{len(decision.options) - 1}"
                )
        return tuple(int(choice) for choice in choices)

    def sample(self, rng: np.random.Generator) -> tuple[int, ...]:
        """Draw a point, uniformly over points."""
        drawn = rng.integers([len(decision.options) for decision in self.decisions])
        return tuple(drawn.tolist())

    def mutate(self, choices: Sequence[int], rng: np.random.Generator) -> tuple[int, ...]:
        """Return ``choices`` with one decision changed, drawn uniformly among those with alternatives."""
        open_ = [i for i, decision in enumerate(self.decisions) if len(decision.options) > 1]
        mutated = list(choices)
        if open_:
            place = int(rng.choice(open_))
            step = int(rng.integers(1, len(self.decisions[place].options)))
            mutated[place] = (mutated[place] + step) % len(self.decisions[place].options)
        return tuple(int(choice) for choice in mutated)

    def neighbours(self, choices: Sequence[int]) -> Iterator[tuple[int, ...]]:
        """Yield the canonical points one decision away, each once, in order of decisions and options."""
        seen = {self.canonical(choices)}
        for place, decision in enumerate(self.decisions):
            for option in range(len(decision.options)):
                changed = (*choices[:place], option, *choices[place + 1 :])
                neighbour = self.canonical(changed)
                if neighbour not in seen:
                    seen.add(neighbour)
                    yield neighbour

    def points(self) -> Iterator[tuple[int, ...]]:
        """Yield every canonical point once, in lexicographic order; for small spaces."""
        seen = set()
        for choices in product(*(range(len(decision.options)) for decision in self.decisions)):
            point = self.canonical(choices)
            if point not in seen:
                seen.add(point)
                yield point

    def options(self, choices: Sequence[int]) -> dict[str, Any]:
        """Return the chosen option of each decision by name, for tables and studies."""
        return {
            decision.name: decision.options[choice]
            for decision, choice in zip(self.decisions, choices, strict=True)
        }
