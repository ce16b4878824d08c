"""Encoding of stages: from genes to blocks and back.

A network is a flat run of blocks; which stage a block came from is not part of it. :func:`encoded` finds
the one sequence of stages that stands for it.
"""

from __future__ import annotations

import math
from functools import cache
from typing import Any, NamedTuple

from nas.layers import Conv, InvertedResidualv2, InvertedResidualv3, Layer, make_divisible

MULTIPLES = (0.25, 0.5, 0.75, 1.0)
CHANNELS = (64, 128, 128, 256, 256, 512, 512)  # widest of each stage, from 16 on in steps of 16
KINDS = ("Conv", "DWConv", "InvertedResidualv2", "InvertedResidualv3", "Pass")
CONV, DEPTHWISE, V2, V3, PASS = range(len(KINDS))
_KERNELS = (1, 3, 5)
_ACTIVATIONS = ("ReLU", "Hardswish")
_V2 = tuple(range(1, 9))
_V3 = tuple(step / 2 for step in range(2, 13))  # 1, 1.5 ... 6
_REPEATS = (3, 5, 5, 5, 5, 5, 5)  # most of each stage
_FEWEST, _MOST = 3, 5  # halvings of the image


class StageGenes(NamedTuple):
    """Option indices of a stage's decisions."""

    kind: int
    repeat: int = 0
    channels: int = 0
    stride: int = 0
    kernel: int = 0
    activation: int = 0
    v2_expand: int = 0
    v3_expand: int = 0
    squeeze_excite: int = 0


class Block(NamedTuple):
    """One layer with its numbers resolved; equal blocks are equal layers."""

    kind: int  # CONV for every convolution, V2 or V3
    incoming: int
    out: int
    stride: int
    kernel: int = 0  # option
    activation: int = 0  # option
    groups: int = 1
    expand: float = 1.0  # of V3 the smallest that gives as many channels
    squeeze_excite: int = 0


def stage_options(number: int) -> dict[str, tuple[Any, ...]]:
    """Return the decisions of a stage, numbered from 0, and their options."""
    genes: dict[str, tuple[Any, ...]] = {
        "kind": KINDS if number else KINDS[:2],
        "repeat": tuple(range(1, _REPEATS[number] + 1)),
        "channels": tuple(range(16, CHANNELS[number] + 1, 16)),
        "stride": (1, 2),
        "kernel": _KERNELS,
        "activation": _ACTIVATIONS,
    }
    if number:
        genes |= {"v2_expand": _V2, "v3_expand": _V3, "squeeze_excite": (False, True)}
    return genes


def repaired(stages: list[StageGenes]) -> list[StageGenes]:
    """Return the stages repaired: at least three present, three to five of them with a stride of 2."""
    missing = _FEWEST - sum(stage.kind != PASS for stage in stages)
    halvings = 0
    result = []
    for stage in stages:
        if stage.kind == PASS and missing > 0:
            stage, missing = stage._replace(kind=CONV), missing - 1
        there = stage.kind != PASS and halvings < _MOST
        result.append(stage._replace(stride=stage.stride if there else 0))
        halvings += result[-1].stride
    for index, stage in enumerate(result):
        if halvings < _FEWEST and stage.kind != PASS and not stage.stride:
            result[index] = stage._replace(stride=1)
            halvings += 1
    return result


def blocks_of(stages: list[StageGenes], depth: int, width: int) -> tuple[Block, ...]:
    """Return the blocks of all stages; ``depth`` and ``width`` are options of the multiples."""
    blocks: list[Block] = []
    channels = 3
    for stage in stages:
        if stage.kind == PASS:
            continue
        repeats, out = repeats_of(stage.repeat, depth), channels_of(stage.channels, width)
        blocks += _stage_blocks(stage._replace(repeat=0, channels=0), channels, repeats, out)
        channels = out
    return tuple(blocks)


def layer_of(block: Block) -> Layer:
    """Return the block as a layer of an architecture."""
    kernel, activation = _KERNELS[block.kernel], _ACTIVATIONS[block.activation]
    if block.kind == CONV:
        return Conv(block.out, kernel, block.stride, groups=block.groups, activation=activation)
    if block.kind == V2:
        return InvertedResidualv2(block.out, block.expand, block.stride)
    gate, hard = bool(block.squeeze_excite), activation == "Hardswish"
    layer = InvertedResidualv3(kernel, block.expand, block.out, gate, hard, block.stride)
    return layer.gated_before(block.incoming)


def repeats_of(option: int, depth: int) -> int:
    """Return the repeats of a block after the depth multiple."""
    return max(round((option + 1) * MULTIPLES[depth]), 1) if option else 1


@cache
def channels_of(option: int, width: int) -> int:
    """Return the channels of a stage after the width multiple."""
    return make_divisible(16 * (option + 1) * MULTIPLES[width])


@cache
def _widths(width: int) -> frozenset[int]:
    """Return every number of channels that a stage can have."""
    return frozenset(channels_of(option, width) for option in range(CHANNELS[-1] // 16))


def encoded(blocks: tuple[Block, ...], width: int) -> list[StageGenes] | None:
    """Return the stages that give ``blocks`` at depth 1 and a width multiple, or ``None``.

    Each stage takes as many blocks as it can and the rest of the stages can still give the rest.
    """
    if not _widths(width).issuperset(block.out for block in blocks):
        return None
    alike = [(b.kind, b.out, b.kernel, b.activation, b.squeeze_excite) for b in blocks]

    def rest(number: int, start: int) -> list[StageGenes] | None:
        if number == len(CHANNELS):
            return [] if start == len(blocks) else None
        longest = start
        while longest < min(start + _REPEATS[number], len(blocks)) and alike[longest] == alike[start]:
            longest += 1
        for stop in range(longest, start, -1):
            stage = _stage_code(blocks[start:stop], number, width)
            after = None if stage is None else rest(number + 1, stop)
            if stage is not None and after is not None:
                return [stage, *after]
        after = rest(number + 1, start) if number else None
        return None if after is None else [StageGenes(PASS), *after]

    return rest(0, 0)


@cache
def _stage_blocks(stage: StageGenes, channels: int, repeats: int, out: int) -> tuple[Block, ...]:
    """Return the blocks of a stage; the last convolution, or the first residual block, has the stride."""
    ones, stride = [1] * (repeats - 1), stage.stride + 1
    late, early = [*ones, stride], [stride, *ones]
    incoming = [channels, *[out] * (repeats - 1)]
    if stage.kind in (CONV, DEPTHWISE):
        return tuple(
            Block(CONV, before, out, each, stage.kernel, stage.activation, groups)
            for before, each in zip(incoming, late, strict=True)
            for groups in [math.gcd(before, out) if stage.kind == DEPTHWISE else 1]
        )
    if stage.kind == V2:
        expand = _V2[stage.v2_expand]
        pairs = zip(incoming, early, strict=True)
        return tuple(Block(V2, before, out, each, expand=expand) for before, each in pairs)
    kernel = max(1, stage.kernel)  # V3 blocks have none of 1
    wanted = _V3[stage.v3_expand]
    return tuple(
        Block(
            V3,
            before,
            out,
            each,
            kernel,
            stage.activation,
            1,
            _least(before, wanted),
            stage.squeeze_excite,
        )
        for before, each in zip(incoming, early, strict=True)
    )


@cache
def _least(channels: int, expand: float) -> float:
    """Return the smallest expansion of a V3 block that gives as many hidden channels."""
    hidden = make_divisible(channels * expand)
    return next(option for option in _V3 if make_divisible(channels * option) == hidden)


@cache
def _stage_code(run: tuple[Block, ...], number: int, width: int) -> StageGenes | None:
    """Return the first code of the stage, at depth 1, that gives exactly this run of blocks."""
    first, repeats = run[0], len(run)
    widest = CHANNELS[number] // 16
    channels = next((i for i in range(widest) if channels_of(i, width) == first.out), None)
    if channels is None or (first.kind != CONV and not number):
        return None
    kinds = (CONV, DEPTHWISE) if first.kind == CONV else (first.kind,)
    v2 = _V2.index(int(first.expand)) if first.kind == V2 else 0
    stride = max(block.stride for block in run) - 1
    for kind in kinds:
        for v3 in range(len(_V3)) if kind == V3 else (0,):
            stage = StageGenes(
                kind, 0, 0, stride, first.kernel, first.activation, v2, v3, first.squeeze_excite
            )
            if _stage_blocks(stage, first.incoming, repeats, first.out) == run:
                return stage._replace(repeat=repeats - 1, channels=channels)
    return None
