"""Checks that may crash, for a process of their own: imports, a small network, the cache.

Every line of its output is one check in JSON, so that a crash shows by the check that is missing.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

_LONGEST = 300  # characters of a reason


def main(modules: list[str]) -> None:
    """Run all checks and print their outcomes.

    Args:
        modules: to import first, in order.
    """
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what libraries print is no outcome

    def run(name: str, check: Callable[[], Any]) -> None:
        begun = time.perf_counter()
        print(json.dumps({"name": name, "begun": True}), file=out, flush=True)
        try:
            outcome = {"ok": True, "detail": check()}
        except BaseException as error:
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            outcome = {"ok": False, "detail": reason[:_LONGEST]}
        record = {"name": name, "seconds": time.perf_counter() - begun, **outcome}
        print(json.dumps(record), file=out, flush=True)

    for module in modules:
        run(f"import {module}", partial(_import, module))
    for name, check in (("cache", _cache), ("gpu", _gpu), ("network", _network), ("onnx", _onnx)):
        run(name, check)


def _import(module: str) -> None:
    importlib.import_module(module)


def _gpu() -> dict[str, Any]:
    """Return the accelerators that torch sees, its threads and what it is built for."""
    import torch

    names = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    if torch.backends.mps.is_available():
        names.append("Apple MPS (not used)")
    return {
        "names": names,
        "built_for": torch.version.cuda or torch.version.hip,
        "threads": torch.get_num_threads(),
    }


def _cache() -> str:
    """Write and read a file in the cache."""
    from core.cache import cache_dir
    from core.files import write_bytes

    path, content = cache_dir() / f"doctor-{os.getpid()}", os.urandom(1000)
    try:
        write_bytes(path, content)
        if path.read_bytes() != content:
            raise RuntimeError("what is read is not what was written")
    finally:
        path.unlink(missing_ok=True)
    return "written and read"


def _network() -> str:
    """Take one training step of a small network."""
    import torch
    from torch.nn.functional import cross_entropy

    from nas.networks import build
    from nas.spaces.toy import Toy

    torch.manual_seed(0)
    network = build(Toy().decode((1, 1, 0, 0)), 10).train()
    optimizer = torch.optim.AdamW(network.parameters())
    loss = cross_entropy(network(torch.rand(8, 3, 32, 32)), torch.arange(8))
    loss.backward()
    optimizer.step()
    if not all(bool(parameter.isfinite().all()) for parameter in network.parameters()):
        raise RuntimeError("the weights are not finite after a step")
    return f"a step of training, loss {loss.item():.2f}"


def _onnx() -> str:
    """Export a small network, and compare its logits in ONNX Runtime with PyTorch's."""
    import torch

    from deploy.onnx_export import export_onnx
    from nas.networks import build
    from nas.spaces.toy import Toy
    from training.preprocess import IMAGENET

    torch.manual_seed(0)
    network = build(Toy().decode((1, 1, 0, 0)), 10).eval()
    with tempfile.TemporaryDirectory(prefix="minnow-doctor-") as folder:
        classes = [str(index) for index in range(10)]
        path = Path(folder, "model.onnx")
        exported = export_onnx(network, path, resolution=32, normalization=IMAGENET, classes=classes)
    return f"exported and run, largest difference of logits {exported.max_abs_difference:.1g}"


if __name__ == "__main__":
    main(sys.argv[1:])
