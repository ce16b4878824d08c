"""Runner of OpenVINO on the CPU: needs numpy and ``openvino`` only."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

PACKAGE = "openvino"
# It would report to its vendor, and keep an identifier in the home folder.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]


def version() -> str:
    """Return name and version of the runtime."""
    import openvino

    return f"openvino {openvino.__version__.partition('-')[0]} CPU"


def open_model(files: Mapping[str, bytes], threads: int) -> Callable[[Any], Any]:
    """Return a function from an image ``(1, C, r, r)`` to logits ``(1, classes)``.

    Args:
        files: content by name: the graph, then the weights.
        threads: that one operator computes in; one is the calling thread.
    """
    import openvino

    graph, weights = files.values()
    options = {
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": 1,
        "INFERENCE_PRECISION_HINT": "f32",  # else bf16 or f16 where the processor has it
        "ENABLE_CPU_PINNING": False,
    }
    core = openvino.Core()
    request = core.compile_model(core.read_model(graph, weights), "CPU", options).create_infer_request()

    def run(image: Any) -> Any:
        request.infer([image], share_inputs=True)
        return request.get_output_tensor(0).data.copy()

    return run
