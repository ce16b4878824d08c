"""Weights of a subnet, taken from those of its base network.

The residual streams, the insides of the blocks and the head are *groups* of channels. A cut network
keeps the first channels of each group in an order of importance, so that smaller networks lie inside
larger ones, and its tensors are parts of the whole one's: differentiable where that is wanted.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import count

import torch

from nas.architecture import Architecture
from nas.layers import Dense, Linear
from nas.networks.build import names_of_layers
from nas.timm_layers import ConvBn, InvertedResidual, stages_of

#: Per group its channels in the whole network, the most important first.
Orders = Mapping[str, torch.Tensor]

_NORM = ("weight", "bias", "running_mean", "running_var")
_TOP = {"conv_stem": ("conv_stem", "bn1"), "conv_head": ("conv_head", "bn2")}
_WIDTHS = ("out", "hidden", "squeezed")
_BLOCK = re.compile(r"blocks\.(\d+)\.(\d+)")


@dataclass(frozen=True)
class SubnetTensor:
    """A tensor of a subnet and its source in the base network.

    Attributes:
        name: of the tensor in the cut network.
        source: of the tensor in the whole network, as timm names it.
        rows: group of its first axis; ``None``: all of it is kept.
        columns: group of its second axis.
    """

    name: str
    source: str
    rows: str | None = None
    columns: str | None = None


def base_layers(architecture: Architecture, base: Architecture) -> list[int]:
    """Return per layer of ``architecture`` the index of the layer of ``base`` that it comes from.

    Blocks are kept from the start of each stage; every other layer is kept.

    Raises:
        ValueError: it is not cut out of ``base``; says where they differ.
    """
    if architecture.base != base.base:
        raise ValueError(f"its base is {architecture.base}, not {base.base}")
    subnet_stages, base_stages = stages_of(architecture.layers), stages_of(base.layers)
    if len(subnet_stages) != len(base_stages):
        raise ValueError(
            f"it has {len(subnet_stages)} stages of blocks, {base.base} has {len(base_stages)}"
        )
    blocks: dict[int, int] = {}
    for number, (mine, whole) in enumerate(zip(subnet_stages, base_stages, strict=True), start=1):
        if len(mine) > len(whole):
            raise ValueError(f"stage {number} has {len(mine)} blocks, that of {base.base} {len(whole)}")
        blocks.update(zip(mine, whole, strict=False))
    others = iter(i for i, layer in enumerate(base.layers) if not isinstance(layer, InvertedResidual))
    indices = [
        blocks[i] if isinstance(layer, InvertedResidual) else next(others, -1)
        for i, layer in enumerate(architecture.layers)
    ]
    for index, origin in enumerate(indices):
        _check_layer(architecture, index, base, origin)
    if next(others, None) is not None:
        raise ValueError(f"layers at the end of {base.base} are missing")
    return indices


@lru_cache(256)
def subnet_tensors(
    architecture: Architecture, base: Architecture, places: tuple[str, ...]
) -> tuple[SubnetTensor, ...]:
    """Return every tensor of the subnet ``architecture`` and its source in ``base``.

    Args:
        architecture: cut out of ``base``.
        base: the whole network.
        places: see :func:`module_paths`.

    Raises:
        ValueError: ``architecture`` is not cut out of ``base``; says where they differ.
    """
    return tuple(_parts(architecture, base_layers(architecture, base), base, places))


def module_paths(names: Collection[str], base: Architecture) -> tuple[str, ...]:
    """Return per layer of ``base`` its module in the timm network with these tensors; ``""`` for pooling.

    Raises:
        ValueError: the tensors are those of another network.
    """
    numbers = {(int(m[1]), int(m[2])) for name in names if (m := _BLOCK.match(name))}
    blocks = [f"blocks.{stage}.{block}" for stage, block in sorted(numbers)]
    weighted = [isinstance(layer, InvertedResidual | ConvBn | Dense) for layer in base.layers]
    if sum(weighted) != len(blocks) + 2:
        raise ValueError(f"{len(blocks)} blocks, but {base.base} has {sum(weighted) - 2}")
    rest = iter(["conv_stem", *blocks, "conv_head"])
    places = [next(rest) if has_weights else "" for has_weights in weighted]
    return (*places[:-1], "classifier")


def subnet_weights(
    weights: Mapping[str, torch.Tensor],
    architecture: Architecture,
    base: Architecture,
    orders: Orders,
    sizes: Mapping[str, torch.Size],
) -> dict[str, torch.Tensor]:
    """Return the parameters and statistics of the subnet ``architecture``.

    Args:
        weights: of the whole network, by timm's names.
        architecture: cut out of ``base``.
        base: the whole network.
        orders: what is kept first, per group.
        sizes: shapes of the cut network's tensors, by name.

    Returns:
        By the names of the cut network; parts of ``weights``, through which gradients flow.

    Raises:
        ValueError: ``architecture`` is not cut out of ``base``.
    """
    places = module_paths(weights.keys(), base)
    return {
        part.name: _taken(weights[part.source], part, orders, sizes[part.name])
        for part in subnet_tensors(architecture, base, places)
    }


def _taken(whole: torch.Tensor, part: SubnetTensor, orders: Orders, size: torch.Size) -> torch.Tensor:
    """Return the rows, columns and central kernel positions that are kept."""
    value = whole
    for axis, group in enumerate((part.rows, part.columns)):
        if group is not None:
            value = value.index_select(axis, orders[group][: size[axis]].to(whole.device))
    if value.ndim == 4 and len(size) == 4 and size[-1] < value.shape[-1]:
        edge = (value.shape[-1] - size[-1]) // 2
        value = value[:, :, edge : edge + size[-2], edge : edge + size[-1]]
    if value.ndim == 4 and len(size) == 2:
        value = value.flatten(1)  # a 1x1 convolution after pooling is a linear layer
    return value


def _parts(
    architecture: Architecture,
    base_layers: Sequence[int],
    base: Architecture,
    places: Sequence[str],
) -> Iterator[SubnetTensor]:
    stages, streams = stages_of(base.layers), streams_of(base)
    stage_at = {index: stage for stage, blocks in enumerate(stages) for index in blocks}
    names, stream = names_of_layers(architecture), None
    for index, layer in enumerate(architecture.layers):
        name, place = names[index], places[base_layers[index]]
        match layer:
            case ConvBn():
                incoming, stream = stream, "stem" if place == "conv_stem" else place
                conv, norm = _TOP.get(place, (f"{place}.conv", f"{place}.bn1"))
                yield from _conv_bn(name, conv, norm, stream, incoming)
            case InvertedResidual():
                incoming, stream = stream, streams[stage_at[base_layers[index]]]
                yield from _block(layer, f"{name}.body", place, incoming, stream)
            case Dense():
                incoming, stream = stream, place
                yield SubnetTensor(f"{name}.0.weight", f"{place}.weight", stream, incoming)
                yield SubnetTensor(f"{name}.0.bias", f"{place}.bias", stream)
            case Linear():
                yield SubnetTensor(f"{name}.weight", f"{place}.weight", None, stream)
                yield SubnetTensor(f"{name}.bias", f"{place}.bias")
            case _:
                pass


def streams_of(architecture: Architecture) -> list[str]:
    """Return per stage the group of its output channels; a first shortcut keeps the stem's."""
    stages = stages_of(architecture.layers)
    first = architecture.layers[stages[0][0]]
    shared = isinstance(first, InvertedResidual) and first.residual
    return ["stem" if shared and not stage else f"stage{stage + 1}" for stage in range(len(stages))]


def _block(
    layer: InvertedResidual, name: str, place: str, incoming: str | None, out: str
) -> Iterator[SubnetTensor]:
    """Yield the tensors of an inverted residual; its children are numbered in order of use."""
    children = (f"{name}.{number}" for number in count())
    hidden, project, norms = incoming, "conv_pw", ("bn1", "bn2")  # depthwise-separable
    if layer.hidden is not None:
        hidden, project, norms = f"{place}.hidden", "conv_pwl", ("bn2", "bn3")
        yield from _conv_bn(next(children), f"{place}.conv_pw", f"{place}.bn1", hidden, incoming)
    yield from _conv_bn(next(children), f"{place}.conv_dw", f"{place}.{norms[0]}", hidden, None)
    if layer.squeezed:
        squeezed, gate, gated = f"{place}.squeezed", next(children), f"{place}.se"
        yield SubnetTensor(f"{gate}.fc1.weight", f"{gated}.conv_reduce.weight", squeezed, hidden)
        yield SubnetTensor(f"{gate}.fc1.bias", f"{gated}.conv_reduce.bias", squeezed)
        yield SubnetTensor(f"{gate}.fc2.weight", f"{gated}.conv_expand.weight", hidden, squeezed)
        yield SubnetTensor(f"{gate}.fc2.bias", f"{gated}.conv_expand.bias", hidden)
    yield from _conv_bn(next(children), f"{place}.{project}", f"{place}.{norms[1]}", out, hidden)


def _conv_bn(
    name: str, conv: str, norm: str, rows: str | None, columns: str | None
) -> Iterator[SubnetTensor]:
    yield SubnetTensor(f"{name}.0.weight", f"{conv}.weight", rows, columns)
    for tensor in _NORM:
        yield SubnetTensor(f"{name}.1.{tensor}", f"{norm}.{tensor}", rows)


def _check_layer(architecture: Architecture, index: int, base: Architecture, origin: int) -> None:
    layer, whole = architecture.layers[index], base.layers[origin]
    if origin < 0 or type(layer) is not type(whole):
        raise ValueError(f"layer {index} is a {type(layer).__name__}, where {base.base} has another one")
    for name, value in vars(layer).items():
        limit = getattr(whole, name)
        if name in _WIDTHS:
            fits = value == limit or (value is not None and limit is not None and value <= limit)
        elif name == "kernel":
            fits = value <= limit and (limit - value) % 2 == 0
        else:
            fits = value == limit
        if not fits:
            raise ValueError(f"layer {index}: {name} is {value}, that of {base.base} is {limit}")
