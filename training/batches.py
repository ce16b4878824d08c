"""Training batches: shuffled, augmented as whole batches, normalised, with what the teacher says."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch

from nas.config import AugmentConfig
from training.augment import Augmentation, augment
from training.balance import balanced_order
from training.images import ImageSet
from training.length import steps_per_epoch
from training.preprocess import Normalization, prepare
from training.signals import Signals

#: Seed of the augmentation: one for all trials, students and teachers, so that they share views.
DATA_SEED = 0


class Outputs(Protocol):
    """What a teacher says about views of training images."""

    def __call__(self, view: int, indices: np.ndarray, pixels: torch.Tensor) -> Signals:
        """Its signals, float32, on the device of the pixels.

        Args:
            view: of the augmentation.
            indices: ``(B,)`` of the images in the whole set.
            pixels: ``(B, 3, S, S)`` uint8, that view of them.
        """


@dataclass(frozen=True)
class Batch:
    """One step's images.

    Attributes:
        images: ``(B, 3, r, r)`` float32, normalised, ``channels_last``.
        labels: ``(B,)`` int64.
        teacher: what the teacher says about the same pixels, if there is one.
    """

    images: torch.Tensor
    labels: torch.Tensor
    teacher: Signals | None


@dataclass(frozen=True)
class Batches:
    """The training split, epoch by epoch.

    Attributes:
        data: the images.
        resolution: side of the network's input, pixels.
        normalization: of the network.
        augmentation: how images are changed.
        batch_size: wanted images per step; the split is cut into steps of (nearly) equal size.
        views: epoch ``e`` shows view ``e % views`` of every image.
        seed: of the order.
        outputs: of the teacher.
        balanced: whether an epoch shows every class, rather than every image, equally often.
        device: where batches end up.
    """

    data: ImageSet
    resolution: int
    normalization: Normalization
    augmentation: Augmentation
    batch_size: int
    views: int
    seed: int
    outputs: Outputs | None = None
    balanced: bool = False
    device: torch.device = torch.device("cpu")  # noqa: RUF009  immutable

    def __len__(self) -> int:
        """Steps per epoch."""
        return steps_per_epoch(len(self.data.splits["train"]), self.batch_size)

    def epoch(self, epoch: int) -> Iterator[Batch]:
        """The batches of one epoch; depends on nothing but the attributes and ``epoch``."""
        view = epoch % self.views
        train, rng = self.data.splits["train"], np.random.default_rng([self.seed, epoch])
        if self.balanced:
            order = balanced_order(train, self.data.labels[train], rng)
        else:
            order = rng.permutation(train)
        for indices in np.array_split(order, len(self)):
            pixels = augmented(self.data, indices, view, self.augmentation, self.device)
            yield Batch(
                images=prepare(pixels, self.resolution, self.normalization),
                labels=torch.from_numpy(self.data.labels[indices]).to(self.device),
                teacher=None if self.outputs is None else self.outputs(view, indices, pixels),
            )


def stored(data: ImageSet, indices: np.ndarray, device: torch.device) -> torch.Tensor:
    """Images ``(B, 3, S, S)`` uint8 as they are stored."""
    return torch.from_numpy(data.images[indices]).permute(0, 3, 1, 2).to(device)


def augmented(
    data: ImageSet, indices: np.ndarray, view: int, augmentation: Augmentation, device: torch.device
) -> torch.Tensor:
    """View ``view`` of images, ``(B, 3, S, S)`` uint8: the same pixels for whoever asks."""
    return augment(
        stored(data, indices, device),
        indices,
        total=len(data.images),
        view=view,
        seed=DATA_SEED,
        settings=augmentation,
    )


def augmentation_of(config: AugmentConfig, data: ImageSet) -> Augmentation:
    """The configured augmentation; images are only mirrored where that keeps their meaning."""
    flip = data.flip if config.flip is None else config.flip
    return Augmentation(config.operations, config.magnitude, flip, config.cutout)
