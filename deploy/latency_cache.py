"""Latency of an architecture: measured once per machine, then read from disk.

A network's latency does not depend on its weights, so a search asks for it before training. One
small JSON file per (network, classes, runtime, threads, machine) serves all runs and processes.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
from functools import cache
from pathlib import Path

import torch

from core.cache import cache_dir
from core.disk import disk_errors
from core.files import write_text
from core.formats import json_text
from deploy.latency import Latency, measure_module, runtime_name
from nas.architecture import Architecture
from nas.networks import build


def measure_architecture(
    architecture: Architecture,
    num_classes: int,
    *,
    cache: Path | None = None,
    threads: int = 1,
) -> Latency:
    """Latency of the untrained network, from the cache if this machine has measured it before.

    Args:
        architecture: the network.
        num_classes: width of its classifier.
        cache: directory of the results; default ``latency/`` under the user's cache directory.
        threads: threads inside one operator.

    Raises:
        UserError: the cache directory cannot be written.
    """
    directory = cache_dir() / "latency" if cache is None else cache
    what = {
        "architecture": architecture.key,
        "num_classes": num_classes,
        "runtime": runtime_name(threads),
        "machine": machine_name(),
    }
    digest = hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:16]
    path = directory / f"{architecture.key}-{digest}.json"
    known = _read(path)
    if known is not None:
        return known
    with torch.random.fork_rng(devices=[]):  # must not shift the weights training draws
        model = build(architecture, num_classes)
    latency = measure_module(
        model,
        architecture.resolution,
        input_channels=architecture.input_channels,
        threads=threads,
    )
    record = {**what, "latency_ms": latency.to_dict()}
    with disk_errors(directory, cached=True):
        write_text(path, json_text(record))
    return latency


@cache
def machine_name() -> str:
    """CPU model, core count, system and architecture: what else a latency depends on."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                model = line.partition(":")[2].strip()
                break
    return f"{model} x{os.cpu_count()}, {platform.system()} {platform.machine()}"


def _read(path: Path) -> Latency | None:
    """The cached result; ``None`` if there is none or it makes no sense: measure again."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))["latency_ms"]
        return Latency(
            median_ms=float(content["median"]),
            iqr_ms=float(content["iqr"]),
            n=int(content["n"]),
            runtime=str(content["runtime"]),
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None
