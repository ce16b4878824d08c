"""Runner of ONNX Runtime on the CPU: needs numpy and ``onnxruntime`` only."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

PACKAGE = "onnxruntime"
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")


def version() -> str:
    """Return name and version of the runtime."""
    import onnxruntime

    return f"onnxruntime {onnxruntime.__version__} CPUExecutionProvider"


def open_model(files: Mapping[str, bytes], threads: int) -> Callable[[Any], Any]:
    """Return a function from an image ``(1, C, r, r)`` to logits ``(1, classes)``.

    Args:
        files: content by name, the model first.
        threads: that one operator computes in; one is the calling thread.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = 4  # an error is raised as well
    session = onnxruntime.InferenceSession(
        next(iter(files.values())), options, providers=["CPUExecutionProvider"]
    )
    name = session.get_inputs()[0].name
    return lambda image: session.run(None, {name: image})[0]
