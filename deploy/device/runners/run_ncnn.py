"""Runner of ncnn on the CPU: needs numpy and ``ncnn`` only."""

from __future__ import annotations

import os
import tempfile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

PACKAGE = "ncnn"


def version() -> str:
    """Return name and version of the runtime."""
    import ncnn

    return f"ncnn {ncnn.__version__} CPU"


def open_model(files: Mapping[str, bytes], threads: int) -> Callable[[Any], Any]:
    """Return a function from an image ``(1, C, r, r)`` to logits ``(classes,)``.

    Args:
        files: content by name: the graph, then the weights.
        threads: that one operator computes in; one is the calling thread.
    """
    import ncnn
    import numpy as np

    net = ncnn.Net()
    net.opt.num_threads = threads  # before loading: layers prepare for it
    net.opt.use_vulkan_compute = False
    net.opt.use_fp16_packed = net.opt.use_fp16_storage = net.opt.use_fp16_arithmetic = False
    net.opt.use_bf16_storage = False
    memory = "/dev/shm" if os.path.isdir("/dev/shm") else None
    with tempfile.TemporaryDirectory(dir=memory) as folder:  # it reads files only
        graph, weights = (os.path.join(folder, name) for name in ("graph", "weights"))
        for path, content in zip((graph, weights), files.values()):  # noqa: B905  (Python 3.8)
            with open(path, "wb") as file:
                file.write(content)
        if net.load_param(graph) or net.load_model(weights):
            raise RuntimeError("ncnn cannot read the model")
    (given,), (wanted,) = net.input_names(), net.output_names()

    def run(image: Any) -> Any:
        extractor = net.create_extractor()
        extractor.input(given, ncnn.Mat(image[0]).clone())  # copied: its rows become aligned
        failed, logits = extractor.extract(wanted)
        if failed:
            raise RuntimeError(f"ncnn failed with {failed}")
        return np.array(logits, dtype=np.float32)

    return run
