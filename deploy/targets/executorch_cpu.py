"""Target of ExecuTorch on the CPU, computed by XNNPACK."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import nn

from deploy.targets.base import RUNNERS, Target


class ExecuTorch(Target):
    """ExecuTorch on the CPU (XNNPACK), float32."""

    runner = RUNNERS / "run_executorch.py"
    modules = ("executorch",)
    extra = "executorch"

    def convert(
        self, network: nn.Module, example: torch.Tensor, images: np.ndarray
    ) -> Mapping[str, bytes]:
        """Return ``model.pte``."""
        from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
        from executorch.exir import to_edge_transform_and_lower

        exported = torch.export.export(network, (example,))
        edge = to_edge_transform_and_lower(exported, partitioner=[XnnpackPartitioner()])
        return {"model.pte": bytes(edge.to_executorch().buffer)}
