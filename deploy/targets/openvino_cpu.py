"""Targets of OpenVINO on the CPU, by way of ONNX."""

from __future__ import annotations

import logging
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from deploy.targets.base import RUNNERS, Int8Target, Quantization, Target
from training.onnx_graph import traced

_GRAPH, _WEIGHTS = "model.xml", "model.bin"
_RUNNER = RUNNERS / "run_openvino.py"


class OpenVino(Target):
    """OpenVINO on the CPU, float32."""

    runner = _RUNNER
    modules = ("openvino",)
    extra = "openvino"

    def convert(
        self, network: nn.Module, example: torch.Tensor, images: np.ndarray
    ) -> Mapping[str, bytes]:
        """Return ``model.xml`` and ``model.bin``."""
        return _files(_graph(network, example))


class OpenVinoInt8(Int8Target):
    """OpenVINO on the CPU, int8: a static quantisation by NNCF."""

    runner = _RUNNER
    modules = ("openvino", "nncf")
    extra = "openvino"
    float_target = "openvino"
    channel_bytes = 8  # bias and scale
    recipes = (Quantization(narrow=True), Quantization())

    def convert(
        self, network: nn.Module, example: torch.Tensor, images: np.ndarray
    ) -> Mapping[str, bytes]:
        """Return ``model.xml`` and ``model.bin``."""
        graph = _graph(network, example)
        import nncf

        nncf.set_log_level(logging.ERROR)
        overflow = nncf.quantization.advanced_parameters.OverflowFix
        fix = overflow.ENABLE if self.quantization.narrow else overflow.DISABLE
        kept = nncf.IgnoredScope(names=list(self.quantization.float_layers))
        return _files(
            nncf.quantize(
                graph,
                nncf.Dataset([image[None] for image in images]),
                preset=nncf.QuantizationPreset.PERFORMANCE,
                target_device=nncf.TargetDevice.CPU,
                subset_size=len(images),
                ignored_scope=kept if self.quantization.float_layers else None,
                advanced_parameters=nncf.AdvancedQuantizationParameters(overflow_fix=fix),
            )
        )

    def layers(self, network: nn.Module, example: torch.Tensor) -> tuple[str, ...]:
        """Return the names of convolutions and linear layers."""
        kinds = ("Convolution", "GroupConvolution", "MatMul")
        operations = _graph(network, example).get_ops()
        return tuple(one.get_friendly_name() for one in operations if one.get_type_name() in kinds)


def _graph(network: nn.Module, example: torch.Tensor) -> Any:
    """Return a network as a graph of OpenVINO, with constants folded.

    ``openvino.convert_model`` gives a graph of the same speed in five times the time.
    """
    # It would report to its vendor, and keep an identifier in the home folder.
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    import openvino
    from openvino.passes import ConstantFolding, Manager

    graph = openvino.Core().read_model(traced(network, example, ["logits"], any_batch=False))
    passes = Manager()
    passes.register_pass(ConstantFolding())
    passes.run_passes(graph)
    return graph


def _files(graph: Any) -> dict[str, bytes]:
    import openvino

    with tempfile.TemporaryDirectory(prefix="minnow-") as folder:
        openvino.save_model(graph, Path(folder) / _GRAPH, compress_to_fp16=False)
        return {name: (Path(folder) / name).read_bytes() for name in (_GRAPH, _WEIGHTS)}
