"""The default space: MobileNetV2/V3 blocks in five stages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from nas.architecture import Architecture, classifier
from nas.layers import Conv, InvertedResidualv3, Layer, make_divisible
from nas.spaces.base import Decision, SearchSpace

_WIDTHS = (0.25, 0.5, 0.75, 1.0)
_STEM = 32  # channels at width 1; every width gives the stem another number, so widths never coincide
_HEAD = 6  # channels of the last 1x1 convolution, as a multiple of the last stage's
_GENES = ("depth", "kernel", "expansion", "se", "activation", "channels")


@dataclass(frozen=True)
class Stage:
    """One stage of blocks that share their numbers; the first block has the stride."""

    channels: int  # at width 1, before the stage's own factor
    stride: int
    depths: tuple[int, ...]
    expansions: tuple[int, ...] = (2, 3, 4, 6)


_STAGES = (
    Stage(16, 1, (1, 2), (1, 2, 3, 4)),
    Stage(24, 2, (1, 2, 3)),
    Stage(40, 2, (1, 2, 3, 4)),
    Stage(80, 2, (1, 2, 3, 4)),
    Stage(160, 2, (1, 2, 3)),
)
_FACTORS = (0.75, 1.0, 1.25)


class MobileNet(SearchSpace):
    """MobileNetV2/V3 blocks in five stages: resolution, width, and per stage depth, kernel, expansion,
    squeeze-excite, activation and channels; more than 10^13 networks.

    The stem halves the image from 64 pixels up; stages 2 to 5 halve it again. A block without
    squeeze-excite and with ReLU is MobileNetV2's, one with both and hard swish MobileNetV3's.
    """

    def make_decisions(self) -> tuple[Decision, ...]:
        """Resolution, width, then six decisions per stage."""
        decisions = [Decision("resolution", self.resolutions), Decision("width", _WIDTHS)]
        for number, stage in enumerate(_STAGES, start=1):
            options = (
                stage.depths,
                (3, 5, 7),
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
        """Where rounding to 8 makes two channel factors equal, the first stands for both."""
        point = [int(choice) for choice in choices]
        width = _WIDTHS[point[1]]
        for index, stage in enumerate(_STAGES):
            place = 2 + len(_GENES) * index + _GENES.index("channels")
            widths = [make_divisible(stage.channels * width * factor) for factor in _FACTORS]
            point[place] = widths.index(widths[point[place]])
        return tuple(point)

    def decode(self, choices: Sequence[int]) -> Architecture:
        """Stem, five stages, 1x1 head, classifier."""
        resolution, width = self.resolutions[choices[0]], _WIDTHS[choices[1]]
        stride = 2 if resolution >= 64 else 1
        body: list[Layer] = [Conv(make_divisible(_STEM * width), 3, stride, activation="Hardswish")]
        out = 0
        for index, stage in enumerate(_STAGES):
            genes = choices[2 + len(_GENES) * index : 2 + len(_GENES) * (index + 1)]
            depth, kernel = stage.depths[genes[0]], (3, 5, 7)[genes[1]]
            expansion, gate, hard = (
                float(stage.expansions[genes[2]]),
                bool(genes[3]),
                bool(genes[4]),
            )
            out = make_divisible(stage.channels * width * _FACTORS[genes[5]])
            body += [
                InvertedResidualv3(kernel, expansion, out, gate, hard, stage.stride if i == 0 else 1)
                for i in range(depth)
            ]
        body.append(Conv(_HEAD * out, 1, activation="Hardswish"))
        return classifier(resolution, tuple(body))
