"""Latency of untrained networks on a target, measured once, or predicted from a profile.

A network's latency does not depend on its weights, so a search measures it before training. One small
JSON file per (network, classes, runtime, threads, machine) serves all runs and processes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated

import torch
from pydantic import BaseModel, Field

from core.cache import cache_dir
from core.cached_records import read_cached, record_digest, write_cached
from core.errors import UserError
from deploy.device.link import ModelError
from deploy.latency_measurement import measure_module
from deploy.profile import Predictor, fit
from deploy.targets import DEFAULT, connect, profile_of
from deploy.targets.session import Latency
from nas.architecture import Architecture
from nas.networks import build

_GRAPHS = 2  # version of the networks' graphs, which latencies depend on
_MAX_MS = 1e6  # of a latency that can be true
_WIDE = 0.4  # of the median: as far apart are the quartiles of one measurement in fifty
_ATTEMPTS = 3  # of which the narrowest counts


class _Timing(BaseModel):
    """The stored form of a :class:`Latency`."""

    median: Annotated[float, Field(gt=0, lt=_MAX_MS)]
    iqr: Annotated[float, Field(ge=0, lt=_MAX_MS)]
    n: Annotated[int, Field(ge=1)]
    runtime: str

    @property
    def latency(self) -> Latency:
        return Latency(self.median, self.iqr, self.n, self.runtime)


class _Record(BaseModel):
    """A cached latency, with what it is of."""

    architecture: str
    num_classes: int
    runtime: str
    machine: str
    host: str
    reference_ms: float  # undisturbed, of the reference network that it was measured beside
    graphs: int
    latency_ms: _Timing


def measure_architecture(
    architecture: Architecture,
    num_classes: int,
    *,
    cache: Path | None = None,
    threads: int = 1,
    target: str = DEFAULT,
) -> Latency:
    """Return the latency of the untrained network, cached if it was measured there before.

    Where the target is a profile it is predicted, for the threads that the profile was measured with.

    Args:
        architecture: the network.
        num_classes: width of its classifier.
        cache: directory of the results; default ``latency/`` under the user's cache directory.
        threads: threads inside one operator.
        target: as for :func:`deploy.targets.parse`, or a profile.

    Raises:
        UserError: no such target, something is missing for it, or the cache directory cannot be written.
        ModelError: the network cannot be converted, or the runtime cannot run it.
    """
    if (profile := profile_of(target)) is not None:
        return profile.latency(architecture, num_classes)
    session = connect(target)
    directory = cache_dir() / "latency" if cache is None else cache
    subject = {
        "architecture": architecture.key,
        "num_classes": num_classes,
        "runtime": session.runtime(threads),
        "machine": session.machine,
        "host": session.place,
        "reference_ms": 1e3 * session.reference_s,
        "graphs": _GRAPHS,
    }
    digest = record_digest(subject)[:16]
    path = directory / f"{architecture.key}-{digest}.json"
    stored = read_cached(_Record, path)
    if stored is not None and stored.model_dump(include=set(subject)) == subject:
        return stored.latency_ms.latency
    with torch.random.fork_rng(devices=[]):  # must not shift the weights training draws
        model = build(architecture, num_classes)
    latency = steady(
        lambda: measure_module(
            model,
            architecture.resolution,
            input_channels=architecture.input_channels,
            threads=threads,
            target=target,
        )
    )
    write_cached(path, {**subject, "latency_ms": latency.to_dict()})
    return latency


def steady(measure: Callable[[], Latency]) -> Latency:
    """Return a latency, measured up to three times while its runs differ widely: the narrowest.

    What other programs do to the machine at a bad moment is not corrected, and a search would keep it.

    Args:
        measure: measures once.
    """
    attempts: list[Latency] = []
    while len(attempts) < _ATTEMPTS:
        attempts.append(measure())
        if attempts[-1].iqr_ms <= _WIDE * attempts[-1].median_ms:
            break
    return min(attempts, key=lambda latency: latency.iqr_ms / latency.median_ms)


def latency_bound(
    architectures: Sequence[Architecture],
    num_classes: int,
    report: Callable[[int, int], None] | None = None,
    *,
    target: str = DEFAULT,
) -> Callable[[Architecture], float]:
    """Return a predictor of the latency, ms, that limits apply to.

    Where the target is a profile, that predicts, with its margin; else networks are measured now.

    Args:
        architectures: to measure.
        num_classes: classes of the data.
        report: called with (networks measured, networks in all).
        target: as for :func:`measure_architecture`.
    """
    if (profile := profile_of(target)) is not None:
        return lambda network: profile.latency(network, num_classes).upper_ms
    predictor = fitted_latency(architectures, num_classes, report, target=target)
    return lambda network: float(predictor.predict([network])[0])


def fitted_latency(
    architectures: Sequence[Architecture],
    num_classes: int,
    report: Callable[[int, int], None] | None = None,
    *,
    target: str = DEFAULT,
) -> Predictor:
    """Measure networks, and return a predictor of the latencies of others on the target.

    Networks that the target cannot run are left out.

    Args:
        architectures: to measure.
        num_classes: classes of the data.
        report: called with (networks measured, networks in all).
        target: as for :func:`deploy.targets.parse`.

    Raises:
        UserError: it runs none of them; or as :func:`measure_architecture`.
    """
    measured, refused = [], None
    for count, network in enumerate(architectures, start=1):
        try:
            latency = measure_architecture(network, num_classes, target=target)
            measured.append((network, latency.median_ms))
        except ModelError as error:
            refused = error
        if report is not None:
            report(count, len(architectures))
    if not measured:
        raise UserError(f"{target} runs none of {len(architectures)} networks: {refused}")
    networks, times = zip(*measured, strict=True)
    return fit(networks, times, num_classes)
