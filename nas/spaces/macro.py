"""NAS-Bench-Macro: a space whose 6,561 networks have all been trained.

Source: Su et al., "Prioritized Architecture Sampling with Monto-Carlo Tree Search", CVPR 2021, section 5.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from nas.architecture import Architecture, classifier
from nas.layers import Conv, InvertedResidualv2, Layer
from nas.spaces.base import Decision, SearchSpace

_STAGES = (2, 3, 3)  # layers; the first of each doubles the channels and halves the image
_STEM, _HEAD = 32, 1280
_BLOCKS = ((3, 3.0), (5, 6.0))  # kernel, expansion of options 1 and 2


class Macro(SearchSpace):
    """NAS-Bench-Macro (Su et al. 2021): eight layers, each the identity or one of two MobileNetV2 blocks.

    The digits of a point, in order, are the network's code in the published table.
    """

    default_resolutions: ClassVar[tuple[int, ...]] = (32,)

    def make_decisions(self) -> tuple[Decision, ...]:
        """Return one decision per layer."""
        options = ("identity", "mb3_k3", "mb6_k5")
        return tuple(Decision(f"layer{i}", options) for i in range(1, sum(_STAGES) + 1))

    def canonical(self, choices: Sequence[int]) -> tuple[int, ...]:
        """Move identities that do nothing to the end of their stage.

        A stage's first layer changes the shape, so as an identity it is a strided convolution.
        """
        point: list[int] = []
        for stage in _by_stage(choices):
            blocks = [choice for choice in stage[1:] if choice]
            point += [stage[0], *blocks, *[0] * (len(stage) - 1 - len(blocks))]
        return tuple(point)

    def decode(self, choices: Sequence[int]) -> Architecture:
        """Return stem, eight layers, 1x1 convolution to 1,280 channels, classifier."""
        body: list[Layer] = [Conv(_STEM, 3)]
        out = _STEM
        for stage in _by_stage(choices):
            out *= 2
            for index, choice in enumerate(stage):
                stride = 2 if index == 0 else 1
                if choice:
                    kernel, expansion = _BLOCKS[choice - 1]
                    body.append(InvertedResidualv2(out, expansion, stride, kernel, "ReLU"))
                elif stride == 2:
                    body.append(Conv(out, 1, 2, activation=None))
        return classifier(self.resolutions[-1], (*body, Conv(_HEAD, 1)))


def _by_stage(choices: Sequence[int]) -> list[tuple[int, ...]]:
    stages, start = [], 0
    for length in _STAGES:
        stages.append(tuple(int(choice) for choice in choices[start : start + length]))
        start += length
    return stages
