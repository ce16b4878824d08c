"""Channel importance: the order in which subnets keep the channels of a network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from nas.architecture import Architecture
from nas.networks.subnet import Orders, SubnetTensor, module_paths, subnet_tensors

Weights = Mapping[str, torch.Tensor]


def by_magnitude(weights: Weights, base: Architecture) -> Orders:
    """Rank channels by the scale of the batch norms that write them times the weights that read them.

    A channel's score is the sum of |gamma| over the batch norms that write it (Liu et al. 2017, "Network
    slimming", section 3) times the sum of the absolute weights of the layers that read it (Li et al.
    2017, "Pruning filters", section 3.1). Inside a block these are the depthwise convolution's norm and
    the projection; depthwise weights, which only pass a channel on, do not count.

    Args:
        weights: of the network that ``base`` describes, by timm's names.
        base: the whole network.
    """
    parts = _parts(weights, base)
    written = _summed(weights, _norms(parts, ("weight",)))
    read = _summed(weights, [part for part in parts if part.columns is not None], axis=1)
    squeezed = {
        part.rows: weights[part.source].abs().flatten(1).sum(1)
        for part in parts
        if part.rows is not None and part.rows.endswith(".squeezed") and part.source.endswith("weight")
    }
    return {
        group: _order(written.get(group, squeezed.get(group, torch.ones(()))) * scores)
        for group, scores in read.items()
    }


def by_taylor(weights: Weights, gradients: Sequence[Weights], base: Architecture) -> Orders:
    """Rank channels by the first-order change of the loss without them.

    The score is the squared sum of gradient times value over a channel's scale and shift in the batch
    norms that write it, added up over batches (Molchanov et al. 2019, "Importance estimation for neural
    network pruning", eq. 8 with the gates of section 3.2).

    Args:
        weights: of the network that ``base`` describes, by timm's names.
        gradients: per batch the gradients of the loss, by the same names.
        base: the whole network.
    """
    parts = _parts(weights, base)
    scores: dict[str, torch.Tensor] = {}
    for batch in gradients:
        moved: dict[str, torch.Tensor] = {}
        for part in _gates(parts):
            change = batch[part.source].detach() * weights[part.source].detach()
            if change.ndim > 1:
                change = change.flatten(1).sum(1)
            moved[str(part.rows)] = moved.get(str(part.rows), torch.zeros(())) + change
        for group, change in moved.items():
            scores[group] = scores.get(group, torch.zeros(())) + change.square()
    return {**by_magnitude(weights, base), **{group: _order(each) for group, each in scores.items()}}


def _parts(weights: Weights, base: Architecture) -> tuple[SubnetTensor, ...]:
    return subnet_tensors(base, base, module_paths(weights.keys(), base))


def _norms(parts: Sequence[SubnetTensor], tensors: tuple[str, ...]) -> list[SubnetTensor]:
    """Return the scales (and shifts) of the batch norms that write a group.

    Inside a block with an expansion two norms have the same channels; the later one, of the depthwise
    convolution, counts.
    """
    norms = [part for part in parts if part.rows is not None and ".bn" in f".{part.source}"]
    named = [part for part in norms if part.name.rpartition(".")[2] in tensors]
    return [part for part in named if not (str(part.rows).endswith(".hidden") and ".bn1." in part.source)]


def _gates(parts: Sequence[SubnetTensor]) -> list[SubnetTensor]:
    """Return the tensors that scale and shift a group: batch norms, else the head's linear layer."""
    norms = _norms(parts, ("weight", "bias"))
    normed = {part.rows for part in norms}
    linear = [part for part in parts if part.rows == "conv_head" and part.rows not in normed]
    return norms + linear


def _summed(weights: Weights, parts: Sequence[SubnetTensor], axis: int = 0) -> dict[str, torch.Tensor]:
    """Return per group the sum of absolute values over tensors, by channel."""
    sums: dict[str, torch.Tensor] = {}
    for part in parts:
        group = str(part.columns if axis else part.rows)
        value = weights[part.source].detach().abs()
        others = [i for i in range(value.ndim) if i != axis]
        sums[group] = sums.get(group, torch.zeros(())) + (value.sum(others) if others else value)
    return sums


def _order(scores: torch.Tensor) -> torch.Tensor:
    """Return indices from the highest score to the lowest; of equals the first comes first."""
    return torch.argsort(scores, descending=True, stable=True)
