"""The space stages7: seven stages of freely mixed blocks, as in waste-sorting competitions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from nas.architecture import Architecture, classifier
from nas.layers import Conv, make_divisible
from nas.spaces.base import Decision, SearchSpace
from nas.spaces.stages7.stage_code import (
    CHANNELS,
    MULTIPLES,
    Block,
    StageGenes,
    blocks_of,
    encoded,
    layer_of,
    repaired,
    stage_options,
)

_LAST = tuple(range(128, 1025, 128))  # channels of the last 1x1 convolution, before the width multiple
_TOP = 4  # decisions before those of the stages
_GENES = (6, *[9] * 6)  # decisions per stage; the first has convolutions only


class Stages7(SearchSpace):
    """Seven stages of convolutions, depthwise ones, MobileNetV2 or V3 blocks, or nothing (Pass).

    Decided are, per stage, repeats, channels, kernel, expansion, squeeze-excite, activation and stride,
    and the depth and width multiples.

    The image is halved three to five times. Of a point that would halve it more often the first five
    strides count; where there are fewer than three, the first stages without a stride get one, and where
    there are fewer than three stages, the first passes become convolutions.

    Many points are one network: multiples times repeats or channels come to the same, expansions round to
    the same channels, a stage and a pass may change places, two equal stages may be one. The canonical
    point has no depth multiple, the largest possible width multiple, and its blocks as early as they fit.
    """

    default_resolutions: ClassVar[tuple[int, ...]] = (64, 96, 128)

    def make_decisions(self) -> tuple[Decision, ...]:
        """Return resolution, both multiples, the last convolution, then the stages' own decisions."""
        decisions = [
            Decision("resolution", self.resolutions),
            Decision("depth_multiple", MULTIPLES),
            Decision("width_multiple", MULTIPLES),
            Decision("last.channels", _LAST),
        ]
        for number in range(len(CHANNELS)):
            genes = stage_options(number)
            decisions += [Decision(f"stage{number + 1}.{gene}", genes[gene]) for gene in genes]
        return tuple(decisions)

    def canonical(self, choices: Sequence[int]) -> tuple[int, ...]:
        """Return the canonical encoding of the network; unused genes are 0."""
        blocks, last = self._network(choices)
        for width in reversed(range(len(MULTIPLES))):
            final = _last_option(last, width)
            stages = None if final is None else encoded(blocks, width)
            if stages is not None:
                genes = (gene for stage, n in zip(stages, _GENES, strict=True) for gene in stage[:n])
                return (int(choices[0]), len(MULTIPLES) - 1, width, final or 0, *genes)
        raise AssertionError(f"{tuple(choices)} has no encoding")  # it is one itself

    def decode(self, choices: Sequence[int]) -> Architecture:
        """Return the stages' layers, a 1x1 convolution, pooling and the classifier."""
        blocks, last = self._network(choices)
        layers = tuple(layer_of(block) for block in blocks)
        return classifier(self.resolutions[choices[0]], (*layers, Conv(last, 1)))

    def _network(self, choices: Sequence[int]) -> tuple[tuple[Block, ...], int]:
        """Return the blocks, and the channels of the last convolution."""
        depth, width, last = (int(choice) for choice in choices[1:_TOP])
        stages: list[StageGenes] = []
        start = _TOP
        for count in _GENES:
            genes = [int(choice) for choice in choices[start : start + count]]
            stages.append(StageGenes(*genes, *[0] * (9 - count)))
            start += count
        blocks = blocks_of(repaired(stages), depth, width)
        return blocks, make_divisible(_LAST[last] * MULTIPLES[width])


def _last_option(channels: int, width: int) -> int | None:
    """Return the first option of the last convolution that gives ``channels``."""
    options = enumerate(_LAST)
    return next((i for i, each in options if make_divisible(each * MULTIPLES[width]) == channels), None)
