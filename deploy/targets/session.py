"""A target on its device, ready to measure models and to classify with them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Annotated, Any, TypeVar

import numpy as np
from filelock import FileLock
from pydantic import BaseModel, Field, ValidationError

from core.cache import cache_dir
from core.cached_records import read_cached, record_digest, write_cached
from core.errors import disk_errors
from core.reading import first_fault
from deploy.device.address import Address
from deploy.device.link import Link, ModelError
from deploy.targets.base import ConvertedModel, Target
from deploy.targets.reference_network import reference_model

BUDGET_S = 1.5
MAX_RUNS = 100
_AT_A_TIME = 64  # images that are classified by one request
_REFERENCE_S, _AGAIN_S = 1.0, 0.3  # of the reference's first timing, and of later ones
_FASTER = 0.9  # times the stored time of the reference, below which that was of a busy device
_LONGEST_NAME = 200

M = TypeVar("M", bound=BaseModel)
_Seconds = Annotated[float, Field(gt=0, lt=1e3, allow_inf_nan=False)]


@dataclass(frozen=True)
class Latency:
    """The time of one image through a network.

    Attributes:
        median_ms: median over the runs, milliseconds.
        iqr_ms: distance between the quartiles, milliseconds.
        n: number of timed runs; 0: the latency is predicted.
        runtime: library, version, provider and threads.
        slowdown: of the machine during the runs, whose times are corrected by it; 1: none, or not known.
        margin: share of a predicted latency that it is increased by where limits apply to it.
    """

    median_ms: float
    iqr_ms: float
    n: int
    runtime: str
    slowdown: float = field(default=1.0, compare=False, repr=False)
    margin: float = 0.0

    @property
    def predicted(self) -> bool:
        """True if the latency was not measured."""
        return self.n == 0

    @property
    def upper_ms(self) -> float:
        """The latency that limits apply to: the median, of a prediction with its margin."""
        return self.median_ms * (1 + self.margin)

    def to_dict(self) -> dict[str, float | int | str]:
        """Return ``latency_ms`` of ``metrics.json``: ``median``, ``iqr`` (ms), ``n``, ``runtime``."""
        return {
            "median": self.median_ms,
            "iqr": self.iqr_ms,
            "n": self.n,
            "runtime": self.runtime,
        }


class Session:
    """A target on its device.

    Args:
        target: runtime and precision.
        address: of the device.

    Raises:
        UserError: the device, its Python, its runtime or a package for converting is missing; says what
            to do.
    """

    def __init__(self, target: Target, address: Address) -> None:
        self.target, self.address = target, address
        reference = reference_model(target)
        described, parts = _described([reference], first=1)
        message = {"reference": described[0]}
        self._link = Link(address, message, [target.runner.read_bytes(), *parts])
        opened = _checked(_Opened, self._link.opened, address)
        self._runtime, self.machine = opened.runtime, opened.machine

    @property
    def place(self) -> str:
        """The device among others of the same kind; nothing for this machine."""
        host, port = self.address.host, self.address.port
        return "" if host is None else f"{host.rpartition('@')[2]}:{port or ''}"

    def runtime(self, threads: int = 1) -> str:
        """Return library, version, precision and threads; of another machine, its name too."""
        unit = "thread" if threads == 1 else "threads"
        precision = "" if self.target.precision == "float32" else f", {self.target.precision}"
        there = "" if self.address.host is None else f" on {self.machine}"
        return f"{self._runtime}{precision}, {threads} {unit}{there}"

    @cached_property
    def reference_s(self) -> float:
        """Seconds of the reference network on the undisturbed device; timed at the first call.

        The result is kept in ``reference/`` under the user's cache directory. Later processes time it for
        a moment, and a clearly lower time replaces it: the device was busy before.

        Raises:
            UserError: the cache directory cannot be written.
        """
        subject = {"runtime": self.runtime(), "machine": self.machine, "host": self.place}
        path = cache_dir() / "reference" / f"{record_digest(subject)[:16]}.json"
        with self._turn():
            stored = read_cached(_Reference, path)
            budget_s = _REFERENCE_S if stored is None else _AGAIN_S
            answer, _ = self._link.request({"do": "reference", "budget_s": budget_s})
            milliseconds = 1e3 * _checked(_Timed, answer, self.address).seconds
            if stored is None or milliseconds < _FASTER * stored.milliseconds:
                stored = _Reference(**subject, milliseconds=milliseconds)
                write_cached(path, stored.model_dump())
        return stored.milliseconds / 1e3

    def measure(
        self,
        models: Sequence[ConvertedModel],
        *,
        threads: int = 1,
        most: int = MAX_RUNS,
        budget_s: float = BUDGET_S,
    ) -> list[Latency]:
        """Measure latencies, batch 1, of several models in turns, so that their ratios hold.

        Args:
            models: converted for this target.
            threads: threads inside one operator.
            most: runs of each, at most.
            budget_s: seconds for each after which it stops, once there are enough runs.

        Raises:
            ModelError: the runtime cannot run one of them.
            UserError: the cache directory cannot be written; the device, its Python or its runtime is
                another one after a lost connection.
        """
        if not models:
            return []
        described, parts = _described(models)
        message = {
            "do": "measure",
            "models": described,
            "threads": threads,
            "most": most,
            "budget_s": budget_s * len(models),
            "usual_s": self.reference_s,
        }
        with self._turn():
            answer, _ = self._link.request(message, parts)
        measured = _checked(_Measured, answer, self.address)
        if len(measured.seconds) != len(models):
            raise ModelError(f"{self.address.name} measured {len(measured.seconds)} of {len(models)}")
        return [self._latency(seconds, threads, measured.slowdown) for seconds in measured.seconds]

    def logits(self, model: ConvertedModel, images: np.ndarray) -> np.ndarray:
        """Return the logits ``(n, classes)`` float32 of images, classified one after the other.

        They are sent in parts, so that a small device needs little memory, and each answer little time.

        Args:
            model: converted for this target.
            images: ``(n, C, r, r)`` float32 in 0..1.

        Raises:
            ModelError: the runtime cannot run the model.
            UserError: as for :meth:`measure`.
        """
        starts = range(0, max(1, len(images)), _AT_A_TIME)
        return np.concatenate(
            [self._logits(model, images[start : start + _AT_A_TIME]) for start in starts]
        )

    def _logits(self, model: ConvertedModel, images: np.ndarray) -> np.ndarray:
        if self.target.layout == "NHWC":
            images = images.transpose(0, 2, 3, 1)
        described, parts = _described([model])
        message = {"do": "classify", "model": described[0], "shape": images.shape}
        content = np.ascontiguousarray(images, dtype="<f4").tobytes()
        with self._turn():
            answer, results = self._link.request(message, [*parts, content])
        shape = _checked(_Shaped, answer, self.address).shape
        if len(results) != 1 or shape[0] != len(images) or len(results[0]) != 4 * shape[0] * shape[1]:
            raise ModelError(f"{self.address.name} answered with logits of another size")
        return np.frombuffer(results[0], dtype="<f4").reshape(shape)

    def close(self) -> None:
        """End the program on the device; the next call starts it again."""
        self._link.close()

    @contextlib.contextmanager
    def _turn(self) -> Iterator[None]:
        """Have another machine for oneself while it computes; here each process has its core."""
        if self.address.host is None:
            yield
            return
        directory = cache_dir() / "devices"
        with disk_errors(directory):
            directory.mkdir(parents=True, exist_ok=True)
            name = record_digest({"host": self.address.host, "port": self.address.port})[:16]
            lock = FileLock(directory / f"{name}.lock")
            lock.acquire()
        try:
            yield
        finally:
            lock.release()

    def _latency(self, seconds: Sequence[float], threads: int, slowdown: float) -> Latency:
        low, median, high = np.percentile(np.array(seconds) * 1e3, [25, 50, 75])
        name = self.runtime(threads)
        return Latency(float(median), float(high - low), len(seconds), name, slowdown)


class _Opened(BaseModel):
    """Answer to the opening of a connection."""

    runtime: Annotated[str, Field(min_length=1, max_length=_LONGEST_NAME)]
    machine: Annotated[str, Field(min_length=1, max_length=_LONGEST_NAME)]


class _Timed(BaseModel):
    """Answer to the timing of the reference."""

    seconds: _Seconds


class _Measured(BaseModel):
    """Answer to a measurement: seconds of each run of each model."""

    seconds: list[Annotated[list[_Seconds], Field(min_length=1)]]
    slowdown: Annotated[float, Field(gt=0, lt=1e6)]


class _Shaped(BaseModel):
    """Answer with logits."""

    shape: Annotated[list[int], Field(min_length=2, max_length=2)]


class _Reference(BaseModel):
    """The stored time of the reference."""

    runtime: str
    machine: str
    host: str
    milliseconds: Annotated[float, Field(gt=0, lt=1e6)]


def _described(
    models: Sequence[ConvertedModel], first: int = 0
) -> tuple[list[dict[str, Any]], list[bytes]]:
    """Return how a request names models, and the parts with their files.

    Args:
        models: of the request.
        first: number of the first part.
    """
    described: list[dict[str, Any]] = []
    parts: list[bytes] = []
    for model in models:
        names = {name: first + len(parts) + index for index, name in enumerate(model.files)}
        described.append({"files": names, "shape": list(model.shape)})
        parts.extend(model.files.values())
    return described, parts


def _checked(kind: type[M], answer: Mapping[str, Any], address: Address) -> M:
    """Return a device's answer, checked.

    Raises:
        ModelError: it is none.
    """
    try:
        return kind.model_validate(answer)
    except ValidationError as error:
        raise ModelError(f"{address.name} answered: {': '.join(first_fault(error))}") from None
