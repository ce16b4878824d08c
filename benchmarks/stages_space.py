"""A small space for `make_table.py`: few decisions, some of them numbers, most of them conditional.

It differs from NAS-Bench-Macro where a strategy may have been fitted to that one: depths and widths are
numbers in order, a block's kind matters only where its stage exists, and trainings are short and noisy.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from nas.architecture import Architecture, classifier
from nas.layers import Conv, InvertedResidualv3, Layer
from nas.spaces.base import Decision, SearchSpace

_WIDTHS = (8, 16)
_DEPTHS = (0, 1, 2)
_BLOCKS = ((3, 2.0), (5, 2.0), (3, 4.0))  # kernel, expansion
_KINDS = ("k3e2", "k5e2", "k3e4")


class Stages(SearchSpace):
    """A stem and up to three stages of MobileNetV3 blocks: 294 networks."""

    default_resolutions: ClassVar[tuple[int, ...]] = (16,)

    def make_decisions(self) -> tuple[Decision, ...]:
        """Return width, the block of the first stage, depth and block of the second and the third."""
        return (
            Decision("width", _WIDTHS),
            Decision("block1", _KINDS),
            Decision("depth2", _DEPTHS),
            Decision("block2", _KINDS),
            Decision("depth3", _DEPTHS),
            Decision("block3", _KINDS),
        )

    def canonical(self, choices: Sequence[int]) -> tuple[int, ...]:
        """Give a stage without blocks the first kind of block."""
        width, block1, depth2, block2, depth3, block3 = (int(choice) for choice in choices)
        return width, block1, depth2, block2 if depth2 else 0, depth3, block3 if depth3 else 0

    def decode(self, choices: Sequence[int]) -> Architecture:
        """Return the network: every stage halves the image and adds the width to the channels."""
        width = _WIDTHS[choices[0]]
        body: list[Layer] = [Conv(width, 3, activation="Hardswish")]
        stages = ((1, choices[1]), (_DEPTHS[choices[2]], choices[3]), (_DEPTHS[choices[4]], choices[5]))
        for place, (depth, kind) in enumerate(stages, start=1):
            kernel, expansion = _BLOCKS[kind]
            for index in range(depth):
                stride = 2 if index == 0 else 1
                body.append(InvertedResidualv3(kernel, expansion, width * place, False, True, stride))
        return classifier(self.resolutions[-1], tuple(body))
