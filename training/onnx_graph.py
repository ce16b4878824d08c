"""Networks as ONNX graphs: tracing one, and opening one to compute on the CPU."""

from __future__ import annotations

import io
import math
import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

OPSET = 18
OPSETS = range(7, 24)  # that the exporter writes and ONNX Runtime computes, torch 2.14
INPUT = "images"
TOLERANCE = 1e-3  # largest difference to PyTorch's output, as a share of the largest value


def traced(
    model: nn.Module,
    example: torch.Tensor,
    outputs: Sequence[str],
    *,
    opset: int = OPSET,
    any_batch: bool = True,
) -> bytes:
    """Trace and serialise, with batch norm folded into the convolutions.

    ``dynamo=False`` is a measured choice: the tracing exporter takes 0.2 s for a MobileNetV3-small,
    the ``torch.export`` one 8 s (one core, torch 2.14), for graphs that ONNX Runtime runs equally
    fast (0.36 ms both), and a search exports every network it times. Tracing takes the branch that the
    example takes, so a caller compares the graph with the network.

    Args:
        model: in eval mode, on the CPU; takes one tensor and returns one per name of ``outputs``.
        example: ``(N, C, r, r)`` float32.
        outputs: their names, in order; the input is called ``INPUT``.
        opset: version of ONNX's operators, one of ``OPSETS``.
        any_batch: the graph takes any N, else that of the example.

    Raises:
        torch.onnx.OnnxExporterError: the network has an operation that this version of ONNX lacks.
    """
    buffer = io.BytesIO()
    with warnings.catch_warnings(), _no_graph_dump():
        warnings.simplefilter("ignore")  # it announces its deprecation at every call
        torch.onnx.export(
            model,
            (example,),
            buffer,  # type: ignore[arg-type]  # a file-like object is accepted with dynamo=False
            input_names=[INPUT],
            output_names=list(outputs),
            dynamic_axes={name: {0: "N"} for name in (INPUT, *outputs)} if any_batch else None,
            opset_version=opset,
            dynamo=False,
        )
    return buffer.getvalue()


@contextmanager
def _no_graph_dump() -> Iterator[None]:
    """Keep the exporter from printing a whole graph that it cannot convert; its own switch is broken."""
    name = "_jit_onnx_log"
    original = getattr(torch._C, name, None)
    setattr(torch._C, name, lambda *_: None)
    try:
        yield
    finally:
        setattr(torch._C, name, original)


def onnx_runtime() -> Any:
    """Return the module ``onnxruntime``.

    Its builds report their use to their vendor, and keep an identifier of the machine for that, unless
    ``ORT_DISABLE_TELEMETRY`` is set before the first import. Minnow sets it; a value of the user's stays.
    """
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    import onnxruntime

    return onnxruntime


def open_session(model: str | Path | bytes, *, threads: int = 1) -> Any:
    """Open an ONNX Runtime session on the CPU that computes in the calling thread, or in ``threads``."""
    onnxruntime = onnx_runtime()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = 4  # an error is raised as well
    source = model if isinstance(model, bytes) else str(model)
    return onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])


@dataclass(frozen=True)
class Gap:
    """Difference between one output of a graph and PyTorch's.

    Attributes:
        difference: the largest; infinite where the shapes differ.
        scale: PyTorch's largest value, without its sign.
    """

    difference: float
    scale: float

    @property
    def small(self) -> bool:
        """Within ``TOLERANCE``; not where there is a NaN."""
        return self.difference <= TOLERANCE * self.scale


def gaps(session: Any, model: nn.Module, images: np.ndarray, outputs: Sequence[str]) -> Iterator[Gap]:
    """Compare a graph with its network, over a batch and over its first image alone.

    Args:
        session: of the graph, see :func:`open_session`.
        model: what was traced, see :func:`traced`; may return its only output as it is.
        images: ``(n, C, r, r)`` float32.
        outputs: as given to :func:`traced`.
    """
    for batch in (images, images[:1]):
        with torch.inference_mode():
            output = model(torch.from_numpy(batch))
        for expected, got in zip(
            [output] if isinstance(output, torch.Tensor) else output,
            session.run(list(outputs), {INPUT: batch}),
            strict=True,
        ):
            values = expected.numpy()
            difference = np.abs(got - values).max() if got.shape == values.shape else math.inf
            yield Gap(float(difference), float(np.abs(values).max()))
