"""Outputs of a teacher for every view of a training, computed once and kept on disk.

Inference runs on ONNX Runtime on the CPU where the traced graph matches PyTorch, else on PyTorch.
"""

from __future__ import annotations

import hashlib
import io
import json
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from pydantic import BaseModel
from torch import nn

from core.cache import cache_dir
from core.cached_records import damaged, file_crc32, read_cached, write_cached
from core.errors import UserError
from core.files import write_bytes
from training.augment import Augmentation
from training.batches import Look
from training.data.images import ImageSet
from training.onnx_graph import INPUT, gaps, open_session, traced
from training.preprocess import Normalization, prepare
from training.signals import Kind, Signals, signals_of, with_logits
from training.views import DATA_SEED, augmented

_BATCH_SIZE = 128
_COMPARED_IMAGES = 3
InferenceFunction = Callable[[torch.Tensor], Signals]


class FrozenNetwork(Protocol):
    """A teacher, or its body without the head."""

    @property
    def model(self) -> nn.Module:
        """The network, in eval mode."""

    @property
    def resolution(self) -> int:
        """Side of its input, pixels."""

    @property
    def normalization(self) -> Normalization:
        """Normalisation of its input."""

    @property
    def digest(self) -> str:
        """Hexadecimal hash of its weights."""


class _Checksum(BaseModel):
    """The record beside the rows of a view."""

    crc32: int


@dataclass(frozen=True)
class StoredOutputs:
    """Signals on disk, by view; cheap to send to other processes.

    Attributes:
        folder: holds ``view-000-logits.npy`` and so on, float16, one row per image of the whole set;
            rows of images that are not learned from are 0. A checksum lies beside each, in ``.json``.
        images: N, images of the whole set.
        kinds: of the stored signals, the logits included.
    """

    folder: Path
    images: int
    kinds: tuple[Kind, ...] = ("logits",)

    def __call__(self, view: int, indices: np.ndarray, look: Look) -> Signals:
        """Return the stored signals of these images under a view, on the CPU.

        Raises:
            FileNotFoundError: the view was never cached, or is damaged.
        """
        rows = {kind: self.rows(view, kind)[indices].astype(np.float32) for kind in self.kinds}
        return Signals(**{kind: torch.from_numpy(array) for kind, array in rows.items()})

    def path(self, view: int, kind: Kind) -> Path:
        """Return the file of a view."""
        return self.folder / f"view-{view:03d}-{kind}.npy"

    def rows(self, view: int, kind: Kind) -> np.ndarray:
        """Return all rows ``(N, ...)`` float16 of a view, memory-mapped.

        Raises:
            FileNotFoundError: the view was never cached, or is damaged.
        """
        stored = self._find(view, kind)
        if stored is None:
            raise FileNotFoundError(f"teacher outputs {self.path(view, kind)} are missing or damaged")
        return stored

    def held(self, views: int) -> HeldOutputs:
        """Return the first views as plain arrays, which can be pickled without a copy.

        Raises:
            FileNotFoundError: one was never cached, or is damaged.
        """
        return HeldOutputs(
            {kind: [np.asarray(self.rows(view, kind)) for view in range(views)] for kind in self.kinds}
        )

    def has(self, view: int) -> bool:
        """Return whether a view is cached and undamaged."""
        return all(self._is_sound(view, kind) for kind in self.kinds)

    def write(self, view: int, kind: Kind, rows: np.ndarray) -> None:
        """Store all rows of a view, and their checksum beside them.

        Raises:
            UserError: the disk is full.
        """
        buffer = io.BytesIO()
        np.save(buffer, rows)
        path, content = self.path(view, kind), buffer.getvalue()
        write_bytes(path, content)
        write_cached(path.with_suffix(".json"), {"crc32": zlib.crc32(content)})

    def _is_sound(self, view: int, kind: Kind) -> bool:
        """Compare a view with its checksum, about 0.7 seconds per GB."""
        path = self.path(view, kind)
        if self._find(view, kind) is None:
            return False
        record = read_cached(_Checksum, path.with_suffix(".json"))
        if record is not None and file_crc32(path) == record.crc32:
            return True
        damaged(path, "its checksum is wrong or missing")
        return False

    def _find(self, view: int, kind: Kind) -> np.ndarray | None:
        try:
            stored: np.ndarray = np.load(self.path(view, kind), mmap_mode="r")
        except (OSError, ValueError, EOFError):
            return None
        fits = stored.ndim >= 2 and len(stored) == self.images and stored.dtype == np.float16
        return stored if fits else None


@dataclass(frozen=True)
class HeldOutputs:
    """Signals in memory, by view, for machines without the files.

    Attributes:
        views: kind of signal to the rows of each view, as :meth:`StoredOutputs.rows`.
    """

    views: Mapping[Kind, Sequence[np.ndarray]]

    def __call__(self, view: int, indices: np.ndarray, look: Look) -> Signals:
        """Return the signals of these images under a view, on the CPU."""
        rows = {kind: views[view][indices].astype(np.float32) for kind, views in self.views.items()}
        return Signals(**{kind: torch.from_numpy(array) for kind, array in rows.items()})


@dataclass(frozen=True)
class LiveOutputs:
    """Signals computed for every batch, at the cost of the teacher's forward pass.

    Attributes:
        teacher: frozen.
        kinds: signals beside the logits.
    """

    teacher: FrozenNetwork
    kinds: tuple[Kind, ...] = ("logits",)

    def __call__(self, view: int, indices: np.ndarray, look: Look) -> Signals:
        """Return the signals of the augmented images that ``look`` gives."""
        return self._infer(prepare(look(), self.teacher.resolution, self.teacher.normalization))

    @cached_property
    def _infer(self) -> InferenceFunction:
        return inference_function(self.teacher.model, self.teacher.resolution, self.kinds)


def cache_outputs(
    teacher: FrozenNetwork,
    data: ImageSet,
    augmentation: Augmentation,
    views: int,
    *,
    kinds: Sequence[Kind] = ("logits",),
    report: Callable[[int, int], None] | None = None,
) -> StoredOutputs:
    """Return the outputs for views ``0 .. views - 1``; compute and cache the missing ones.

    A student sees exactly the pixels that the teacher saw, at its own resolution. All trials, students
    and seeds share the files, whose key has the teacher's weights, the data and the augmentation. A view
    is written whole, so an interrupted run resumes with the next one.

    Args:
        teacher: computes the outputs.
        data: the images; those that are learned from are computed.
        augmentation: of the views.
        views: number of views of each image.
        kinds: signals beside the logits.
        report: called with (images done, images in all) while computing.

    Raises:
        UserError: the disk is full; the teacher has no such features.
    """
    inputs = [teacher.resolution, teacher.normalization.mean, teacher.normalization.std]
    content = [teacher.digest, *inputs, data.digest, augmentation.key, DATA_SEED]
    key = hashlib.sha256(json.dumps(content).encode()).hexdigest()[:32]
    live = LiveOutputs(teacher, with_logits(kinds))
    outputs = StoredOutputs(cache_dir() / "teacher-outputs" / key, len(data.images), live.kinds)
    missing = [view for view in range(views) if not outputs.has(view)]
    per_view = len(data.learned)
    for count, view in enumerate(missing):
        done = count * per_view

        def advance(images: int, done: int = done) -> None:
            if report is not None:
                report(done + images, per_view * len(missing))

        for kind, rows in _compute(live, data, augmentation, view, advance).items():
            outputs.write(view, kind, rows)
    return outputs


def _compute(
    live: LiveOutputs,
    data: ImageSet,
    augmentation: Augmentation,
    view: int,
    advance: Callable[[int], None],
) -> dict[Kind, np.ndarray]:
    """Return all rows ``(N, ...)`` float16 of a view, by kind of signal."""
    indices = data.learned
    device = next(live.teacher.model.parameters()).device
    stored: dict[Kind, np.ndarray] = {}
    for start in range(0, len(indices), _BATCH_SIZE):
        batch = indices[start : start + _BATCH_SIZE]
        signals = live(view, batch, partial(augmented, data, batch, view, augmentation, device))
        for kind in live.kinds:
            rows = signals.get(kind).float().cpu().numpy()
            if kind not in stored:
                stored[kind] = np.zeros((len(data.images), *rows.shape[1:]), dtype=np.float16)
            stored[kind][batch] = rows
        advance(min(start + _BATCH_SIZE, len(indices)))
    return stored


def inference_function(model: nn.Module, resolution: int, kinds: Sequence[Kind]) -> InferenceFunction:
    """Return a function from a normalised batch ``(B, 3, r, r)`` to the signals of ``model``.

    On a CPU it runs ONNX Runtime, in as many threads as torch may use: that folds batch norm into the
    convolutions and fuses the operators behind them, which on one thread is 1.1 (Swin-Tiny, ViT-Tiny) to
    2.4 times (EfficientNet-Lite0) as fast as torch. On other devices, and for a network that cannot be
    exported or whose graph gives other outputs, it runs torch.

    Args:
        model: frozen, in eval mode.
        resolution: side r of its input, pixels.
        kinds: signals beside the logits.

    Raises:
        UserError: the model has no such features.
    """
    wanted = with_logits(kinds)

    def by_torch(images: torch.Tensor) -> Signals:
        with torch.no_grad():
            return signals_of(model, images, wanted)

    weight = next(model.parameters())
    if weight.device.type != "cpu" or weight.dtype != torch.float32:
        return by_torch
    network = _SignalTuple(model, wanted)
    shape = (_COMPARED_IMAGES, 3, resolution, resolution)
    samples = np.random.default_rng(0).standard_normal(shape, np.float32)
    try:
        graph = traced(network, torch.from_numpy(samples), wanted)
        session = open_session(graph, threads=torch.get_num_threads())
        agree = all(gap.small for gap in gaps(session, network, samples, wanted))
    except UserError:
        raise
    except Exception:  # an exporter and a runtime may raise anything for a network of anyone's
        return by_torch

    def by_onnx_runtime(images: torch.Tensor) -> Signals:
        outputs = session.run(list(wanted), {INPUT: images.contiguous().numpy()})
        return Signals(
            **{kind: torch.from_numpy(output) for kind, output in zip(wanted, outputs, strict=True)}
        )

    return by_onnx_runtime if agree else by_torch


class _SignalTuple(nn.Module):
    """A network that returns its signals as a tuple, as an export needs them."""

    def __init__(self, network: nn.Module, kinds: Sequence[Kind]) -> None:
        super().__init__()
        self.network = network
        self.kinds = kinds
        self.eval()

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Return one tensor per kind."""
        signals = signals_of(self.network, images, self.kinds)
        return tuple(signals.get(kind) for kind in self.kinds)
