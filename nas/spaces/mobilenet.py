"""The default space: MobileNetV2/V3 blocks in five stages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache

from nas.architecture import Architecture, classifier
from nas.layers import Conv, InvertedResidualv3, make_divisible
from nas.spaces.base import Decision, SearchSpace

_WIDTHS = (0.25, 0.5, 0.75, 1.0)
_STEM = 32  # channels at width 1; every width gives the stem another number, so widths never coincide
_HEAD = 6  # channels of the last 1x1 convolution, as a multiple of the last stage's
_GENES = ("depth", "kernel", "expansion", "se", "activation", "channels")


@dataclass(frozen=True)
class _Stage:
    """One stage of blocks that share their numbers; the first block has the stride."""

    channels: int  # at width 1, before the stage's own factor
    stride: int
    depths: tuple[int, ...]
    expansions: tuple[int, ...] = (2, 3, 4, 6)


_STAGES = (
    _Stage(16, 1, (1, 2), (1, 2, 3, 4)),
    _Stage(24, 2, (1, 2, 3)),
    _Stage(40, 2, (1, 2, 3, 4)),
    _Stage(80, 2, (1, 2, 3, 4)),
    _Stage(160, 2, (1, 2, 3)),
)
_KERNELS = (3, 5, 7)
_FACTORS = (0.75, 1.0, 1.25)


class MobileNet(SearchSpace):
    """MobileNetV2/V3 blocks in five stages; more than 10^13 networks.

    Decided are resolution, width, and per stage depth, kernel, expansion, squeeze-excite, activation and
    channels. The stem halves the image from 64 pixels up; stages 2 to 5 halve it again. A block without
    squeeze-excite and with ReLU is MobileNetV2's, one with both and hard swish MobileNetV3's.
    """

    def make_decisions(self) -> tuple[Decision, ...]:
        """Return resolution, width, then six decisions per stage."""
        decisions = [Decision("resolution", self.resolutions), Decision("width", _WIDTHS)]
        for number, stage in enumerate(_STAGES, start=1):
            options = (
                stage.depths,
                _KERNELS,
                stage.expansions,
                (False, True),
                ("relu", "hswish"),
                _FACTORS,
            )
            decisions += [
                Decision(f"stage{number}.{gene}", values)
                for gene, values in zip(_GENES, options, strict=True)
            ]
        return tuple(decisions)

    def canonical(self, choices: Sequence[int]) -> tuple[int, ...]:
        """Replace a channel factor by the first that rounds to the same channels."""
        point = [int(choice) for choice in choices]
        for place, first in _first_factors(point[1]):
            point[place] = first[point[place]]
        return tuple(point)

    def decode(self, choices: Sequence[int]) -> Architecture:
        """Return stem, five stages, 1x1 head, classifier."""
        resolution, width = self.resolutions[choices[0]], choices[1]
        stride = 2 if resolution >= 64 else 1
        stem = Conv(make_divisible(_STEM * _WIDTHS[width]), 3, stride, activation="Hardswish")
        blocks: list[InvertedResidualv3] = []
        for number in range(len(_STAGES)):
            genes = choices[2 + len(_GENES) * number : 2 + len(_GENES) * (number + 1)]
            blocks += _blocks(number, width, tuple(genes))
        head = Conv(_HEAD * blocks[-1].out, 1, activation="Hardswish")
        return classifier(resolution, (stem, *blocks, head))


@cache
def _first_factors(width: int) -> tuple[tuple[int, tuple[int, ...]], ...]:
    """Return per stage the place of its channel factor, and per factor the first with equal channels."""
    factors = []
    for number in range(len(_STAGES)):
        place = 2 + len(_GENES) * number + _GENES.index("channels")
        widths = _widths(number, width)
        factors.append((place, tuple(widths.index(channels) for channels in widths)))
    return tuple(factors)


@cache
def _widths(number: int, width: int) -> tuple[int, ...]:
    """Return the channels of a stage with each of the factors, at the width with that index."""
    return tuple(
        make_divisible(_STAGES[number].channels * _WIDTHS[width] * factor) for factor in _FACTORS
    )


@cache
def _blocks(number: int, width: int, genes: tuple[int, ...]) -> tuple[InvertedResidualv3, ...]:
    """Return the blocks of a stage; cached, as there are fewer than 10,000 combinations."""
    stage = _STAGES[number]
    depth, kernel, expansion, gate, hard, factor = genes
    block = InvertedResidualv3(
        kernel=_KERNELS[kernel],
        expand=stage.expansions[expansion],
        out=_widths(number, width)[factor],
        squeeze_excite=bool(gate),
        hard_swish=bool(hard),
        stride=1,
    )
    return replace(block, stride=stage.stride), *[block] * (stage.depths[depth] - 1)
