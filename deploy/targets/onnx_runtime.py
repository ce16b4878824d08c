"""Targets of ONNX Runtime on the CPU."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import nn

from deploy.targets.base import RUNNERS, Target
from training.onnx_graph import traced

OUTPUT = "logits"


class OnnxRuntime(Target):
    """ONNX Runtime, float32."""

    runner = RUNNERS / "run_onnxruntime.py"
    apart = False  # the exporter is torch's own

    def convert(
        self, network: nn.Module, example: torch.Tensor, images: np.ndarray
    ) -> Mapping[str, bytes]:
        """Return ``model.onnx``."""
        return {"model.onnx": traced(network, example, [OUTPUT])}
