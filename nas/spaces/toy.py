"""A dozen networks, for tests and documentation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from nas.architecture import Architecture, classifier
from nas.layers import Conv, InvertedResidualv3
from nas.spaces.base import Decision, SearchSpace


class Toy(SearchSpace):
    """Twelve tiny networks of one or two blocks, for tests and docs."""

    default_resolutions: ClassVar[tuple[int, ...]] = (32,)

    def make_decisions(self) -> tuple[Decision, ...]:
        """Return width, depth, and one kernel per block; the second kernel needs a second block."""
        return (
            Decision("width", (8, 16)),
            Decision("depth", (1, 2)),
            Decision("kernel1", (3, 5)),
            Decision("kernel2", (3, 5)),
        )

    def canonical(self, choices: Sequence[int]) -> tuple[int, ...]:
        """Set the second kernel to 0 where there is no second block."""
        width, depth, kernel1, kernel2 = (int(choice) for choice in choices)
        return width, depth, kernel1, kernel2 if depth == 1 else 0

    def decode(self, choices: Sequence[int]) -> Architecture:
        """Return a strided stem, then blocks that halve the image, at the largest resolution."""
        width = (8, 16)[choices[0]]
        kernels = [(3, 5)[choices[2]], (3, 5)[choices[3]]][: choices[1] + 1]
        blocks = [
            InvertedResidualv3(kernel, 3.0, width * (i + 1), False, True, 2)
            for i, kernel in enumerate(kernels)
        ]
        stem = Conv(width, 3, 2, activation="Hardswish")
        return classifier(self.resolutions[-1], (stem, *blocks))
