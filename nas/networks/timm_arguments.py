"""A student of the space elastic as arguments and weights of timm's EfficientNet or MobileNetV3."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from nas.architecture import Architecture
from nas.layers import Dense, Flatten, GlobalAvgPool, Linear
from nas.networks.subnet import module_paths, subnet_tensors
from nas.timm_layers import ConvBn, InvertedResidual

_GATES = {"Sigmoid": "sigmoid", "Hardsigmoid": "hard_sigmoid"}


def timm_arguments(architecture: Architecture) -> dict[str, Any]:
    """Return the arguments of a timm network, as plain data.

    Returns:
        ``family`` (timm's class), ``stem_size``, ``num_features``, ``pad_type``, ``eps``, ``activation``,
        ``gate`` and ``squeeze_activation`` (torch's names), and ``blocks``: per stage a list of what
        timm's ``block_args`` has, whose ``act_layer`` is a name. Not every network fits; compare what
        timm builds with the architecture.

    Raises:
        ValueError: it is built of other layers than timm's mobile networks; says which.
    """
    layers = architecture.layers
    family, body, num_features = _split(layers)
    stem, *blocks = body
    if not isinstance(stem, ConvBn):
        raise ValueError("it does not begin with a convolution")
    gated = next((b for b in blocks if isinstance(b, InvertedResidual) and b.squeezed), None)
    return {
        "family": family,
        "stem_size": stem.out,
        "num_features": num_features,
        "pad_type": "same" if any(layer.same for layer in body) else "",
        "eps": stem.eps,
        "activation": stem.activation,
        "gate": _GATES[gated.gate] if gated is not None and gated.gate else "sigmoid",
        "squeeze_activation": None if gated is None else gated.squeeze_activation,
        "blocks": _stages(blocks, stem.out, squeezed_of_hidden=family == "MobileNetV3"),
    }


def timm_weights(
    weights: Mapping[str, torch.Tensor], architecture: Architecture, expected: Mapping[str, torch.Tensor]
) -> dict[str, torch.Tensor]:
    """Return the weights of a student by timm's names.

    Args:
        weights: of ``nas.networks.build(architecture, ...)``.
        architecture: of the student.
        expected: weights of the timm network of :func:`timm_arguments`, for their names and shapes.

    Raises:
        ValueError: the two are different networks.
    """
    renamed = {}
    for tensor in subnet_tensors(architecture, architecture, module_paths(expected.keys(), architecture)):
        renamed[tensor.source] = weights[tensor.name].reshape(expected[tensor.source].shape).contiguous()
        if tensor.source.endswith(".running_mean"):
            count = tensor.source.replace("running_mean", "num_batches_tracked")
            renamed[count] = weights[tensor.name.replace("running_mean", "num_batches_tracked")]
    return renamed


def layer_difference(architecture: Architecture, built: Architecture) -> str | None:
    """Return the first layer in which two networks differ, in words; ``None``: they are equal."""
    if len(architecture.layers) != len(built.layers):
        return f"it has {len(architecture.layers)} layers, timm's network {len(built.layers)}"
    for index, (mine, other) in enumerate(zip(architecture.layers, built.layers, strict=True)):
        if type(mine) is not type(other):
            return f"layer {index} is a {type(mine).__name__}, timm's a {type(other).__name__}"
        for name, value in vars(mine).items():
            if value != getattr(other, name):
                return f"layer {index}: {name} is {value}, timm makes {getattr(other, name)}"
    return None


def _split(layers: Sequence[object]) -> tuple[str, list[ConvBn | InvertedResidual], int]:
    """Return timm's class, the stem with the blocks, and the channels of the head.

    Raises:
        ValueError: there are other layers.
    """
    body: list[ConvBn | InvertedResidual] = []
    for layer in layers:
        if not isinstance(layer, ConvBn | InvertedResidual):
            break
        body.append(layer)
    tail = layers[len(body) :]
    kinds = tuple(type(layer) for layer in tail)
    if kinds == (GlobalAvgPool, Flatten, Linear) and len(body) > 2 and isinstance(body[-1], ConvBn):
        return "EfficientNet", body[:-1], body[-1].out
    if kinds == (GlobalAvgPool, Flatten, Dense, Linear) and len(body) > 1:
        dense = tail[2]
        assert isinstance(dense, Dense)
        return "MobileNetV3", body, dense.out
    odd = next((kind.__name__ for kind in kinds if kind not in (GlobalAvgPool, Flatten, Linear)), "head")
    raise ValueError(
        f"its {odd} has no counterpart in timm's mobile networks; students of the space elastic have one"
    )


def _stages(
    blocks: Sequence[ConvBn | InvertedResidual], incoming: int, *, squeezed_of_hidden: bool
) -> list[list[dict[str, Any]]]:
    """Return the blocks by stage; only the first one of a stage may have a stride.

    Args:
        blocks: without stem and head.
        incoming: channels of the stem.
        squeezed_of_hidden: whether timm's class takes the gate's channels as a share of the hidden ones.
    """
    stages: list[list[dict[str, Any]]] = []
    for block in blocks:
        if not (stages and isinstance(block, InvertedResidual) and block.residual):
            stages.append([])
        common: dict[str, Any] = {
            "out_chs": block.out,
            "stride": block.stride,
            "act_layer": block.activation,
        }
        if isinstance(block, ConvBn):
            stages[-1].append({"block_type": "cn", "kernel_size": block.kernel, "skip": False, **common})
        else:
            common |= {"dw_kernel_size": block.kernel, "noskip": not block.residual}
            whole = (block.hidden or incoming) if squeezed_of_hidden else incoming
            common["se_ratio"] = block.squeezed / whole
            if block.hidden is None:
                stages[-1].append({"block_type": "ds", **common})
            else:
                ratio = block.hidden / incoming
                stages[-1].append({"block_type": "ir", "exp_ratio": ratio, **common})
        incoming = block.out
    return stages
