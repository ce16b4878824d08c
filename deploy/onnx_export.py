"""Export to ONNX: one self-contained file, checked against PyTorch before it is written.

The input is ``images``, float32 ``(N, 3, r, r)``, RGB in 0..1, any N; the normalisation is part of the
graph. The output is ``logits``, float32 ``(N, C)``.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from core.errors import UserError, one_line
from core.files import write_bytes
from distill.student_bundle import package_versions
from training.onnx_graph import OPSET, OPSETS, gaps, onnx_runtime, open_session, traced
from training.preprocess import IMAGENET, Normalization

OUTPUT = "logits"


@dataclass(frozen=True)
class Exported:
    """An exported file.

    Attributes:
        path: of the file.
        size_bytes: its size.
        max_abs_difference: largest difference between ONNX Runtime's and PyTorch's logits.
        checked_images: number of images that were compared.
        opset: version of ONNX's operators.
    """

    path: Path
    size_bytes: int
    max_abs_difference: float
    checked_images: int
    opset: int


class NormalizedNetwork(nn.Module):
    """A network behind its normalisation, which maps images in 0..1 to logits."""

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, network: nn.Module, normalization: Normalization) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("mean", torch.tensor(normalization.mean).view(1, -1, 1, 1))
        self.register_buffer("std", torch.tensor(normalization.std).view(1, -1, 1, 1))

    @classmethod
    def of(cls, network: nn.Module, normalization: Normalization, channels: int) -> NormalizedNetwork:
        """Return a copy of a network behind its normalisation, on the CPU and ready for inference.

        Raises:
            ValueError: the normalisation is of another number of channels.
        """
        if len(normalization.mean) != channels:
            raise ValueError(
                f"normalisation has {len(normalization.mean)} channels, the input {channels}"
            )
        copied = copy.deepcopy(network).to("cpu", torch.float32)
        return cls(copied, normalization).eval().requires_grad_(False)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return logits ``(N, C)`` of images ``(N, 3, r, r)`` in 0..1."""
        logits: torch.Tensor = self.network((images - self.mean) / self.std)
        return logits


def export_onnx(
    model: nn.Module,
    path: str | Path,
    *,
    resolution: int,
    normalization: Normalization,
    classes: Sequence[str],
    input_channels: int = 3,
    metadata: Mapping[str, str] | None = None,
    images: np.ndarray | None = None,
    opset: int | None = None,
) -> Exported:
    """Write ``model`` as an ONNX file, after a comparison of its logits with PyTorch's.

    Args:
        model: maps normalised ``(N, input_channels, r, r)`` to logits ``(N, len(classes))``; it is
            not changed.
        path: of the file; an existing one is replaced, atomically.
        resolution: side r of the input, pixels.
        normalization: of the model's input; becomes a part of the graph.
        classes: names in the order of the logits; stored in the file as JSON.
        input_channels: channels of the input.
        metadata: more ``key: text`` pairs for the file, e.g. a licence.
        images: real images to compare beside random ones, float32 ``(n, C, r, r)`` in 0..1.
        opset: version of ONNX's operators, for a runtime that knows no newer one; ``None``: ``OPSET``.

    Raises:
        UserError: the disk is full or not writable; the exporter or ONNX Runtime has no such opset, or
            not for an operation of the network.
        ValueError: ``input_channels`` or ``classes`` do not fit the model and its normalisation.
        RuntimeError: ONNX Runtime and PyTorch disagree by more than ``TOLERANCE``.
    """
    import onnx

    path = Path(path)
    network = NormalizedNetwork.of(model, normalization, input_channels)
    opset = OPSET if opset is None else opset
    if opset not in OPSETS:
        raise UserError(f"ONNX opset {opset} is not available; give {OPSETS[0]} to {OPSETS[-1]}")
    proto = _checked_graph(network, resolution, input_channels, opset)
    width = proto.graph.output[0].type.tensor_type.shape.dim[1].dim_value
    if width != len(classes):
        raise ValueError(f"the model gives {width} logits, but {len(classes)} classes are given")
    properties = {
        "classes": json.dumps(list(classes), ensure_ascii=False),
        "resolution": str(resolution),
        "normalization": json.dumps({"mean": list(normalization.mean), "std": list(normalization.std)}),
        "minnow_version": package_versions()["minnow"],
        **(metadata or {}),
    }
    onnx.helper.set_model_props(proto, properties)
    content = proto.SerializeToString()

    samples = np.random.default_rng(0).random(
        (3, input_channels, resolution, resolution), dtype=np.float32
    )
    if images is not None:
        samples = np.concatenate([samples, images.astype(np.float32)])
    difference = _verify(content, network, samples, opset)
    write_bytes(path, content)
    return Exported(path, len(content), difference, len(samples), opset)


def onnx_bytes(
    model: nn.Module,
    resolution: int,
    *,
    input_channels: int = 3,
    normalization: Normalization = IMAGENET,
) -> bytes:
    """Return the graph of :func:`export_onnx`, without metadata and checks."""
    return graph_bytes(
        NormalizedNetwork.of(model, normalization, input_channels), resolution, input_channels
    )


def graph_bytes(
    network: NormalizedNetwork, resolution: int, input_channels: int = 3, opset: int = OPSET
) -> bytes:
    """Return the ONNX graph of a network with its normalisation, without metadata and checks."""
    example = torch.zeros(1, input_channels, resolution, resolution)
    return traced(network, example, [OUTPUT], opset=opset)


def _checked_graph(network: NormalizedNetwork, resolution: int, input_channels: int, opset: int) -> Any:
    """Return the graph as a message of ONNX, checked by its own rules.

    Raises:
        UserError: it cannot be written with this opset; says why.
    """
    import onnx

    try:
        content = graph_bytes(network, resolution, input_channels, opset)
        graph = onnx.load_model_from_string(content)
        onnx.checker.check_model(graph, full_check=True)
    except (
        torch.onnx.OnnxExporterError,
        onnx.checker.ValidationError,
        onnx.shape_inference.InferenceError,
    ) as error:
        reason = one_line(error).partition(" Please feel free")[0].rstrip(".")
        raise UserError(f"the network cannot be written with ONNX opset {opset}: {reason}") from None
    return graph


def _verify(content: bytes, network: NormalizedNetwork, samples: np.ndarray, opset: int) -> float:
    """Return the largest difference between the logits of ONNX Runtime and PyTorch.

    Raises:
        UserError: ONNX Runtime cannot compute with this opset; says why.
        RuntimeError: they disagree.
    """
    errors = onnx_runtime().capi.onnxruntime_pybind11_state
    try:
        session = open_session(content)
    except (errors.Fail, errors.InvalidGraph, errors.NotImplemented) as error:
        raise UserError(
            f"ONNX Runtime cannot compute the network with ONNX opset {opset}: {one_line(error)}"
        ) from None
    worst = 0.0
    for gap in gaps(session, network, samples, [OUTPUT]):
        if not gap.small:
            raise RuntimeError(
                f"ONNX Runtime's logits differ from PyTorch's by up to {gap.difference:.2g} "
                f"(largest logit {gap.scale:.2g}); the file was not written"
            )
        worst = max(worst, gap.difference)
    return worst
