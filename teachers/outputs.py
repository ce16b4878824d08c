"""The teacher's logits for every training image under every view, computed once and kept on disk."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from nas.files import write_bytes
from teachers.finetune import Teacher
from training.augment import Augmentation
from training.batches import DATA_SEED, augmented
from training.cache import cache_dir, explained
from training.images import ImageSet
from training.preprocess import prepare

_BATCH = 128


@dataclass(frozen=True)
class StoredOutputs:
    """Logits on disk, by view; cheap to hand to other processes.

    Attributes:
        folder: holds ``view-000.npy`` and so on.
        images: N, images of the whole set.
        classes: C.
    """

    folder: Path
    images: int
    classes: int

    def path(self, view: int) -> Path:
        """File of a view."""
        return self.folder / f"view-{view:03d}.npy"

    def __call__(self, view: int) -> np.ndarray:
        """Logits ``(N, C)`` float16, memory-mapped; rows outside the training split are 0.

        Raises:
            FileNotFoundError: the view was never filled.
        """
        stored = self.find(view)
        if stored is None:
            raise FileNotFoundError(f"teacher outputs {self.path(view)} are missing or damaged")
        return stored

    def find(self, view: int) -> np.ndarray | None:
        """The same, or ``None`` where the file is missing or damaged."""
        try:
            stored: np.ndarray = np.load(self.path(view), mmap_mode="r")
        except (OSError, ValueError, EOFError):
            return None
        fits = stored.shape == (self.images, self.classes) and stored.dtype == np.float16
        return stored if fits else None


def fill_outputs(
    teacher: Teacher,
    data: ImageSet,
    augmentation: Augmentation,
    views: int,
    *,
    report: Callable[[int, int], None] | None = None,
) -> StoredOutputs:
    """Compute the logits of views ``0 .. views - 1`` where they are missing.

    A student sees exactly the pixels that the teacher saw, at its own resolution. The files are shared
    by all trials, students and seeds: they are keyed by the teacher's weights, the data and the
    augmentation. A view is written whole, so an interrupted run goes on with the next one.

    Args:
        teacher: whose logits.
        data: only its training split is computed.
        augmentation: what teacher and student see.
        views: how many.
        report: called with (images done, images in all) while computing.

    Raises:
        UserError: no room on the disk.
    """
    sees = [teacher.resolution, teacher.normalization.mean, teacher.normalization.std]
    content = [teacher.digest, *sees, data.digest, augmentation.key, DATA_SEED]
    key = hashlib.sha256(json.dumps(content).encode()).hexdigest()[:32]
    outputs = StoredOutputs(cache_dir() / "teacher-outputs" / key, len(data.images), data.num_classes)
    missing = [view for view in range(views) if outputs.find(view) is None]
    per_view = len(data.splits["train"])
    for turn, view in enumerate(missing):
        done = turn * per_view

        def advance(images: int, done: int = done) -> None:
            if report is not None:
                report(done + images, per_view * len(missing))

        buffer = io.BytesIO()
        np.save(buffer, _compute(teacher, data, augmentation, view, advance))
        with explained(outputs.folder):
            write_bytes(outputs.path(view), buffer.getvalue())
    return outputs


def _compute(
    teacher: Teacher,
    data: ImageSet,
    augmentation: Augmentation,
    view: int,
    advance: Callable[[int], None],
) -> np.ndarray:
    indices = data.splits["train"]
    device = next(teacher.model.parameters()).device
    logits = np.zeros((len(data.images), data.num_classes), dtype=np.float16)
    for start in range(0, len(indices), _BATCH):
        part = indices[start : start + _BATCH]
        pixels = augmented(data, part, view, augmentation, device)
        with torch.inference_mode():
            images = prepare(pixels, teacher.resolution, teacher.normalization)
            logits[part] = teacher.model(images).float().cpu().numpy()
        advance(min(start + _BATCH, len(indices)))
    return logits
