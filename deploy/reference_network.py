"""A small reference network, whose time tells how fast the machine is at the moment.

A core runs slower while others share its caches, its memory or its power. Such states last for seconds
and cost up to a half. The reference is timed once per machine and runtime, for a second; beside every
measurement it is timed again, and the ratio of the two is the slowdown.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
from pydantic import BaseModel, Field

from core.cache import cache_dir
from core.cached_records import read_cached, record_digest, write_cached
from deploy.machine import machine_name, runtime_name
from deploy.onnx_export import onnx_bytes
from deploy.timing import thread_clock, timed_block
from nas.architecture import classifier
from nas.layers import Conv, InvertedResidualv2
from nas.networks import build
from training.onnx_graph import INPUT, open_session

_SIDE, _CLASSES = 96, 10
_BODY = (
    Conv(16, 3, 2),
    InvertedResidualv2(24, 3, 2),
    InvertedResidualv2(24, 3, 1),
    InvertedResidualv2(48, 6, 2, 5),
    InvertedResidualv2(96, 6, 2),
    InvertedResidualv2(96, 6, 1, 5),
    InvertedResidualv2(192, 6, 2),
    InvertedResidualv2(192, 6, 1),
    Conv(640, 1),
)
_SECONDS = 1.0  # of the first timing
_UNDISTURBED = 0.25  # quantile of the blocks of the first timing


class _Record(BaseModel):
    """The stored time of the reference."""

    runtime: str
    machine: str
    milliseconds: Annotated[float, Field(gt=0, lt=1e3)]


@cache
def reference_run() -> Callable[[], object]:
    """Return a call that classifies one image with the reference, in one thread."""
    with torch.random.fork_rng(devices=[]):  # must not shift the weights training draws
        torch.manual_seed(0)
        network = build(classifier(_SIDE, _BODY), _CLASSES)
    session = open_session(onnx_bytes(network, _SIDE))
    image = np.random.default_rng(0).random((1, 3, _SIDE, _SIDE), dtype=np.float32)
    return partial(session.run, None, {INPUT: image})


def reference_ms() -> float:
    """Return the milliseconds of the reference on the undisturbed machine; timed at the first call.

    The result is kept in ``reference/`` under the user's cache directory.

    Raises:
        UserError: the cache directory cannot be written.
    """
    subject = {"runtime": runtime_name(), "machine": machine_name()}
    digest = record_digest(subject)[:16]
    return _stored_ms(cache_dir() / "reference" / f"{digest}.json")


@cache
def _stored_ms(path: Path) -> float:
    stored = read_cached(_Record, path)
    if stored is None:
        timed = _timed()
        stored = read_cached(_Record, path)  # of another process that timed it meanwhile
        if stored is None:
            stored = timed
            write_cached(path, stored.model_dump())
    return stored.milliseconds


def _timed() -> _Record:
    run, clock, medians = reference_run(), thread_clock(), []
    started = time.perf_counter()
    while time.perf_counter() - started < _SECONDS:
        medians.append(float(np.median(timed_block(run, clock))))
    return _Record(
        runtime=runtime_name(),
        machine=machine_name(),
        milliseconds=1e3 * float(np.quantile(medians, _UNDISTURBED)),
    )
