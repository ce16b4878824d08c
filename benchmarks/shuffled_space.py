"""NAS-Bench-Macro's space with every decision's options in another order: nothing may depend on it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nas.architecture import Architecture
from nas.spaces.base import Decision
from nas.spaces.macro import Macro

_SEED = 1


class Shuffled(Macro):
    """Macro; option ``i`` of a decision is Macro's ``self.order[decision][i]``."""

    def make_decisions(self) -> tuple[Decision, ...]:
        """Return Macro's decisions, shuffled."""
        rng = np.random.default_rng(_SEED)
        decisions = super().make_decisions()
        self.order = [rng.permutation(len(decision.options)).tolist() for decision in decisions]
        return tuple(
            Decision(decision.name, tuple(decision.options[index] for index in order))
            for decision, order in zip(decisions, self.order, strict=True)
        )

    def original(self, choices: Sequence[int]) -> tuple[int, ...]:
        """Return Macro's point of the same network."""
        return tuple(order[choice] for order, choice in zip(self.order, choices, strict=True))

    def canonical(self, choices: Sequence[int]) -> tuple[int, ...]:
        """Return the point of Macro's canonical one."""
        point = super().canonical(self.original(choices))
        return tuple(order.index(choice) for order, choice in zip(self.order, point, strict=True))

    def decode(self, choices: Sequence[int]) -> Architecture:
        """Return Macro's network."""
        return super().decode(self.original(choices))
