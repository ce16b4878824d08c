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

import numpy as np
import torch
from torch import nn

from core.files import write_bytes
from distill.student_bundle import package_versions
from training.onnx_graph import gaps, open_session, traced
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
    """

    path: Path
    size_bytes: int
    max_abs_difference: float
    checked_images: int


class _NormalizedNetwork(nn.Module):
    """A network behind its normalisation."""

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, network: nn.Module, normalization: Normalization) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("mean", torch.tensor(normalization.mean).view(1, -1, 1, 1))
        self.register_buffer("std", torch.tensor(normalization.std).view(1, -1, 1, 1))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
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

    Raises:
        UserError: the disk is full or not writable.
        ValueError: ``input_channels`` or ``classes`` do not fit the model and its normalisation.
        RuntimeError: ONNX Runtime and PyTorch disagree by more than ``TOLERANCE``.
    """
    import onnx

    path = Path(path)
    network = _normalized(model, normalization, input_channels)
    content = _serialise(network, resolution, input_channels)

    proto = onnx.load_model_from_string(content)
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
    onnx.checker.check_model(proto, full_check=True)
    content = proto.SerializeToString()

    samples = np.random.default_rng(0).random(
        (3, input_channels, resolution, resolution), dtype=np.float32
    )
    if images is not None:
        samples = np.concatenate([samples, images.astype(np.float32)])
    difference = _verify(content, network, samples)
    write_bytes(path, content)
    return Exported(path, len(content), difference, len(samples))


def onnx_bytes(
    model: nn.Module,
    resolution: int,
    *,
    input_channels: int = 3,
    normalization: Normalization = IMAGENET,
) -> bytes:
    """Return the graph of :func:`export_onnx`, without metadata and checks, for measurements."""
    return _serialise(_normalized(model, normalization, input_channels), resolution, input_channels)


def _normalized(
    model: nn.Module, normalization: Normalization, input_channels: int
) -> _NormalizedNetwork:
    if len(normalization.mean) != input_channels:
        raise ValueError(
            f"normalisation has {len(normalization.mean)} channels, the input {input_channels}"
        )
    copied = copy.deepcopy(model).to("cpu", torch.float32)
    return _NormalizedNetwork(copied, normalization).eval().requires_grad_(False)


def _serialise(network: _NormalizedNetwork, resolution: int, input_channels: int) -> bytes:
    return traced(network, torch.zeros(1, input_channels, resolution, resolution), [OUTPUT])


def _verify(content: bytes, network: _NormalizedNetwork, samples: np.ndarray) -> float:
    """Return the largest difference between the logits of ONNX Runtime and PyTorch."""
    worst = 0.0
    for gap in gaps(open_session(content), network, samples, [OUTPUT]):
        if not gap.small:
            raise RuntimeError(
                f"ONNX Runtime's logits differ from PyTorch's by up to {gap.difference:.2g} "
                f"(largest logit {gap.scale:.2g}); the file was not written"
            )
        worst = max(worst, gap.difference)
    return worst
