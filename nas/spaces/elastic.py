"""The elastic space: subnets of a pretrained network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from nas.architecture import Architecture
from nas.layers import Dense, Layer, make_divisible
from nas.spaces.base import Decision, SearchSpace
from nas.timm_layers import ConvBn, InvertedResidual, stages_of

EXPANSIONS = (0.1, 0.2, 0.25, 0.35, 0.5, 0.65, 0.8, 1.0)
STREAMS = (0.5, 0.65, 0.8, 1.0)
HEADS = (0.125, 0.25, 0.5, 0.75, 1.0)
_STEMS = (0.5, 1.0)
_MOST_BLOCKS = 20  # with an expansion, beyond which the blocks of a stage share its kept share
_DEFAULT_BASE = "tf_efficientnet_lite0"


class Elastic(SearchSpace):
    """Subnets of a pretrained mobile network; students inherit its weights.

    Decided are the input resolution; per stage how many blocks stay (from its start), its kernel (5 or 7
    may become smaller) and the share of its residual stream's channels; per block the share of its
    expansion, or per stage in bases of more than 20 blocks; the shares of stem and head. Kept channels
    are rounded to 8; which ones they are, weights decide (see :mod:`nas.networks.channel_importance`).

    Args:
        resolutions: input resolutions to choose from, pixels.
        base: the whole network (:func:`nas.networks.timm_architecture.architecture_from_timm` makes it);
            ``None``: tf_efficientnet_lite0.
    """

    least_share: ClassVar[float] = 0.625

    def __init__(
        self, resolutions: Sequence[int] | None = None, *, base: Architecture | None = None
    ) -> None:
        self.base = _default_base() if base is None else base
        layers = self.base.layers
        self._stages = stages_of(layers)
        self._blocks = [
            [block for i in stage if isinstance(block := layers[i], InvertedResidual)]
            for stage in self._stages
        ]
        super().__init__(resolutions)
        self._place = {decision.name: place for place, decision in enumerate(self.decisions)}

    def make_decisions(self) -> tuple[Decision, ...]:
        """Return resolution, stem, per stage depth, channels, kernel and expansions, then the head."""
        decisions = [Decision("resolution", self.resolutions)]
        stem, *_ = self._convs()
        decisions.append(Decision("stem.channels", _shares(_STEMS, [stem.out])))
        blocks = self._blocks
        apart = sum(block.hidden is not None for stage in blocks for block in stage) <= _MOST_BLOCKS
        for number, stage in enumerate(blocks, start=1):
            name = f"stage{number}"
            if len(stage) > 1:
                decisions.append(Decision(f"{name}.depth", tuple(range(1, len(stage) + 1))))
            if number > 1 or not stage[0].residual:
                decisions.append(Decision(f"{name}.channels", _shares(STREAMS, [stage[0].out])))
            largest = max(block.kernel for block in stage)
            if largest > 3:
                decisions.append(Decision(f"{name}.kernel", tuple(range(3, largest + 1, 2))))
            widths = [block.hidden for block in stage if block.hidden is not None]
            if apart:
                decisions += [
                    Decision(f"{name}.block{index}.expansion", _shares(EXPANSIONS, [block.hidden]))
                    for index, block in enumerate(stage, start=1)
                    if block.hidden is not None
                ]
            elif widths:
                decisions.append(Decision(f"{name}.expansion", _shares(EXPANSIONS, widths)))
        head = [layer.out for layer in self._head()]
        decisions.append(Decision("head.channels", _shares(HEADS, head)))
        return tuple(decisions)

    @property
    def smallest(self) -> tuple[int, ...]:
        """The point that keeps least of everything."""
        return (0,) * len(self.decisions)

    @property
    def largest(self) -> tuple[int, ...]:
        """The point that keeps everything, at the highest resolution."""
        return tuple(len(decision.options) - 1 for decision in self.decisions)

    def spread(self, rng: np.random.Generator) -> tuple[int, ...]:
        """Draw a point of random size: first the share that it keeps, then decisions around it.

        Where all decisions are drawn independently, most networks keep about half of everything, and the
        small ones that searches are after hardly occur. Here every option is as likely as any other
        too (a binomial of a uniform share), but sizes are spread from the smallest network to the
        largest. The resolution is drawn independently, so that all sizes occur at all of them.
        """
        options = np.array([len(decision.options) for decision in self.decisions])
        point = rng.binomial(options - 1, rng.random())
        point[0] = rng.integers(options[0])
        return tuple(point.tolist())

    def random_subnet(self, rng: np.random.Generator) -> Architecture:
        """Return a random subnet whose size is drawn first, as :meth:`spread` does."""
        return self.decode(self.canonical(self.spread(rng)))

    def canonical(self, choices: Sequence[int]) -> tuple[int, ...]:
        """Set genes of left-out blocks to 0, and a stage's to the first that give the same blocks."""
        point = [int(choice) for choice in choices]
        for number, stage in enumerate(self._blocks, start=1):
            name = f"stage{number}"
            depth = self._chosen(point, f"{name}.depth", len(stage))
            for index in range(depth + 1, len(stage) + 1):
                place = self._place.get(f"{name}.block{index}.expansion")
                if place is not None:
                    point[place] = 0
            place = self._place.get(f"{name}.kernel")
            if place is not None:
                options = self.decisions[place].options
                kernels = [tuple(min(k, b.kernel) for b in stage[:depth]) for k in options]
                point[place] = kernels.index(kernels[point[place]])
            place = self._place.get(f"{name}.expansion")
            if place is not None:
                shares = self.decisions[place].options
                hidden = [block.hidden for block in stage[:depth] if block.hidden is not None]
                widths = [tuple(_kept(whole, share) for whole in hidden) for share in shares]
                point[place] = widths.index(widths[point[place]])
        return tuple(point)

    def decode(self, choices: Sequence[int]) -> Architecture:
        """Return the base without what is not kept."""
        starts = {blocks[0]: number for number, blocks in enumerate(self._stages)}
        layers: list[Layer] = []
        last = 0  # channels of the stream before
        inside = {index for blocks in self._stages for index in blocks}
        for index, layer in enumerate(self.base.layers):
            if index in starts:
                kept = self._stage(choices, starts[index], last)
                layers += kept
                last = kept[-1].out
            elif index == 0 and isinstance(layer, ConvBn):
                last = _kept(layer.out, self._chosen(choices, "stem.channels", 1.0))
                layers.append(replace(layer, out=last))
            elif index not in inside and isinstance(layer, ConvBn | Dense):
                share = self._chosen(choices, "head.channels", 1.0)
                layers.append(replace(layer, out=_kept(layer.out, share)))
            elif index not in inside:
                layers.append(layer)
        resolution = self.resolutions[choices[0]]
        return Architecture(resolution, self.base.input_channels, tuple(layers), self.base.base)

    def _stage(self, choices: Sequence[int], number: int, incoming: int) -> list[InvertedResidual]:
        blocks, name = self._blocks[number], f"stage{number + 1}"
        depth = self._chosen(choices, f"{name}.depth", len(blocks))
        kernel = self._chosen(choices, f"{name}.kernel", blocks[0].kernel)
        together = self._chosen(choices, f"{name}.expansion", 1.0)
        share = self._chosen(choices, f"{name}.channels", None)
        out = incoming if share is None else _kept(blocks[0].out, share)
        stream, kept = incoming, []
        for index, block in enumerate(blocks[:depth], start=1):
            expansion = self._chosen(choices, f"{name}.block{index}.expansion", together)
            hidden = None if block.hidden is None else _kept(block.hidden, expansion)
            whole = block.hidden or self.base.shapes[self._stages[number][index - 1]][0]
            squeezed = round(block.squeezed * (hidden or stream) / whole)
            kept.append(
                replace(
                    block,
                    out=out,
                    hidden=hidden,
                    kernel=min(kernel, block.kernel),
                    squeezed=max(1, squeezed) if block.squeezed else 0,
                )
            )
            stream = out
        return kept

    def _chosen(self, choices: Sequence[int], name: str, default: Any) -> Any:
        """Return the chosen option of a decision; ``default`` where the space has none of that name."""
        place = self._place.get(name)
        return default if place is None else self.decisions[place].options[choices[place]]

    def _convs(self) -> list[ConvBn]:
        return [layer for layer in self.base.layers if isinstance(layer, ConvBn)]

    def _head(self) -> list[ConvBn | Dense]:
        return [layer for layer in self.base.layers[1:] if isinstance(layer, ConvBn | Dense)]


def _kept(channels: int, share: float) -> int:
    """Return a share of the channels, rounded to 8."""
    return channels if share == 1 else min(channels, make_divisible(channels * share, 8))


def _shares(shares: Sequence[float], widths: Sequence[int]) -> tuple[float, ...]:
    """Return the shares that keep different numbers of channels, the largest of equals."""
    share_of = {tuple(_kept(width, share) for width in widths): share for share in shares}
    return tuple(share_of.values())


@cache
def _default_base() -> Architecture:
    return Architecture.from_yaml(Path(__file__).parent / "bases" / f"{_DEFAULT_BASE}.yaml")
