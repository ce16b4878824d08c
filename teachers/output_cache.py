"""What teachers say about training images: computed once per view and kept on disk, or anew each time."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

import numpy as np
import torch

from core.cache import cache_dir
from core.files import write_bytes
from teachers.finetune import Teacher
from teachers.inference import InferenceFunction, inference_function
from training.augment import Augmentation
from training.batches import Look
from training.data.images import ImageSet
from training.preprocess import prepare
from training.signals import Kind, Signals, with_logits
from training.views import DATA_SEED, augmented

_BATCH = 128


@dataclass(frozen=True)
class StoredOutputs:
    """Signals on disk, by view; cheap to hand to other processes.

    Attributes:
        folder: holds ``view-000-logits.npy`` and so on, float16, one row per image of the whole set;
            rows outside the training split are 0.
        images: N, images of the whole set.
        kinds: what there is, the logits included.
    """

    folder: Path
    images: int
    kinds: tuple[Kind, ...] = ("logits",)

    def __call__(self, view: int, indices: np.ndarray, look: Look) -> Signals:
        """What the teacher said about these images under a view, on the CPU.

        Raises:
            FileNotFoundError: the view was never filled, or is damaged.
        """
        found = {kind: self.rows(view, kind)[indices].astype(np.float32) for kind in self.kinds}
        return Signals(**{kind: torch.from_numpy(rows) for kind, rows in found.items()})

    def path(self, view: int, kind: Kind) -> Path:
        """File of a view."""
        return self.folder / f"view-{view:03d}-{kind}.npy"

    def rows(self, view: int, kind: Kind) -> np.ndarray:
        """All rows ``(N, ...)`` float16 of a view, memory-mapped.

        Raises:
            FileNotFoundError: the view was never filled, or is damaged.
        """
        stored = self._find(view, kind)
        if stored is None:
            raise FileNotFoundError(f"teacher outputs {self.path(view, kind)} are missing or damaged")
        return stored

    def has(self, view: int) -> bool:
        """Whether a view is there, whole."""
        return all(self._find(view, kind) is not None for kind in self.kinds)

    def _find(self, view: int, kind: Kind) -> np.ndarray | None:
        try:
            stored: np.ndarray = np.load(self.path(view, kind), mmap_mode="r")
        except (OSError, ValueError, EOFError):
            return None
        fits = stored.ndim >= 2 and len(stored) == self.images and stored.dtype == np.float16
        return stored if fits else None


@dataclass(frozen=True)
class LiveOutputs:
    """A teacher that looks at every batch, which costs its forward pass every time.

    Attributes:
        teacher: frozen.
        kinds: what is wanted beside its logits.
    """

    teacher: Teacher
    kinds: tuple[Kind, ...] = ("logits",)

    def __call__(self, view: int, indices: np.ndarray, look: Look) -> Signals:
        """What the teacher says about these pixels."""
        return self._ask(prepare(look(), self.teacher.resolution, self.teacher.normalization))

    @cached_property
    def _ask(self) -> InferenceFunction:
        return inference_function(self.teacher.model, self.teacher.resolution, self.kinds)


def cache_outputs(
    teacher: Teacher,
    data: ImageSet,
    augmentation: Augmentation,
    views: int,
    *,
    kinds: Sequence[Kind] = ("logits",),
    report: Callable[[int, int], None] | None = None,
) -> StoredOutputs:
    """Compute views ``0 .. views - 1`` where they are missing.

    A student sees exactly the pixels that the teacher saw, at its own resolution. The files are shared
    by all trials, students and seeds: they are keyed by the teacher's weights, the data and the
    augmentation. A view is written whole, so an interrupted run goes on with the next one.

    Args:
        teacher: whose outputs.
        data: only its training split is computed.
        augmentation: what teacher and student see.
        views: how many.
        kinds: what is wanted beside the logits.
        report: called with (images done, images in all) while computing.

    Raises:
        UserError: no room on the disk; the teacher has no such features.
    """
    sees = [teacher.resolution, teacher.normalization.mean, teacher.normalization.std]
    content = [teacher.digest, *sees, data.digest, augmentation.key, DATA_SEED]
    key = hashlib.sha256(json.dumps(content).encode()).hexdigest()[:32]
    live = LiveOutputs(teacher, with_logits(kinds))
    outputs = StoredOutputs(cache_dir() / "teacher-outputs" / key, len(data.images), live.kinds)
    missing = [view for view in range(views) if not outputs.has(view)]
    per_view = len(data.splits["train"])
    for turn, view in enumerate(missing):
        done = turn * per_view

        def advance(images: int, done: int = done) -> None:
            if report is not None:
                report(done + images, per_view * len(missing))

        for kind, rows in _compute(live, data, augmentation, view, advance).items():
            buffer = io.BytesIO()
            np.save(buffer, rows)
            write_bytes(outputs.path(view, kind), buffer.getvalue())
    return outputs


def _compute(
    live: LiveOutputs,
    data: ImageSet,
    augmentation: Augmentation,
    view: int,
    advance: Callable[[int], None],
) -> dict[Kind, np.ndarray]:
    indices = data.splits["train"]
    device = next(live.teacher.model.parameters()).device
    stored: dict[Kind, np.ndarray] = {}
    for start in range(0, len(indices), _BATCH):
        part = indices[start : start + _BATCH]
        signals = live(view, part, partial(augmented, data, part, view, augmentation, device))
        for kind in live.kinds:
            rows = signals.get(kind).float().cpu().numpy()
            if kind not in stored:
                stored[kind] = np.zeros((len(data.images), *rows.shape[1:]), dtype=np.float16)
            stored[kind][part] = rows
        advance(min(start + _BATCH, len(indices)))
    return stored
