"""Names of the machine and the runtime that a latency belongs to."""

from __future__ import annotations

import os
import platform
from functools import cache
from pathlib import Path

from training.onnx_graph import onnx_runtime


def runtime_name(threads: int = 1) -> str:
    """Return the runtime of a latency, e.g. ``onnxruntime 1.32.0 CPUExecutionProvider, 1 thread``."""
    version = onnx_runtime().__version__
    unit = "thread" if threads == 1 else "threads"
    return f"onnxruntime {version} CPUExecutionProvider, {threads} {unit}"


@cache
def machine_name() -> str:
    """Return CPU model, core count, system and architecture, on which a latency depends too."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                model = line.partition(":")[2].strip()
                break
    return f"{model} x{os.cpu_count()}, {platform.system()} {platform.machine()}"
