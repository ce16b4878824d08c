"""Target of ncnn on the CPU."""

from __future__ import annotations

import subprocess
import tempfile
import warnings
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import nn

from deploy.device.link import ModelError
from deploy.targets.base import RUNNERS, Target

_GRAPH, _WEIGHTS = "model.ncnn.param", "model.ncnn.bin"
_LONGEST_S = 600


class Ncnn(Target):
    """ncnn on the CPU, float32."""

    runner = RUNNERS / "run_ncnn.py"
    modules = ("pnnx",)
    extra = "ncnn"

    def convert(
        self, network: nn.Module, example: torch.Tensor, images: np.ndarray
    ) -> Mapping[str, bytes]:
        """Return ``model.ncnn.param`` and ``model.ncnn.bin``.

        Raises:
            ModelError: pnnx, the converter, fails, or ncnn lacks an operation of the network.
        """
        import pnnx

        with tempfile.TemporaryDirectory(prefix="minnow-") as folder:  # it writes five other files too
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # tracing announces its deprecation
                torch.jit.trace(network, example).save(f"{folder}/model.pt")
            shape = ",".join(map(str, example.shape))
            command = [pnnx.EXEC_PATH, "model.pt", f"inputshape=[{shape}]f32", "fp16=0"]
            command += [f"ncnnparam={_GRAPH}", f"ncnnbin={_WEIGHTS}"]
            done = subprocess.run(
                command, cwd=folder, capture_output=True, text=True, errors="replace", timeout=_LONGEST_S
            )
            graph = Path(folder, _GRAPH)
            if done.returncode or not graph.exists():
                raise ModelError(
                    f"pnnx ended with {done.returncode}: {(done.stdout + done.stderr)[-200:]}"
                )
            for line in graph.read_text().splitlines():
                if line.startswith(("pnnx.", "aten::")):
                    raise ModelError(f"ncnn has no layer for {line.split()[0]}")
            return {name: Path(folder, name).read_bytes() for name in (_GRAPH, _WEIGHTS)}
