"""Training batches: shuffled, augmented as whole batches, normalised, with the teacher's outputs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import numpy as np
import torch

from core.config import AugmentConfig
from core.errors import UserError
from training.augment import Augmentation
from training.balance import balanced_order
from training.budget import steps_per_epoch
from training.data.images import ImageSet
from training.preprocess import Normalization, prepare
from training.processes import ALONE, Processes
from training.signals import Signals
from training.views import augmented, mixture_of, seen

#: Returns ``(B, 3, S, S)`` uint8.
Look = Callable[[], torch.Tensor]


class Outputs(Protocol):
    """A teacher's outputs for views of training images."""

    def __call__(self, view: int, indices: np.ndarray, look: Look) -> Signals:
        """Return the signals of the teacher, float32, on any device.

        Args:
            view: of the augmentation.
            indices: ``(B,)`` of the images in the whole set.
            look: returns the pixels of that view; cached outputs need not call it.
        """


@dataclass(frozen=True)
class Batch:
    """One step's images, or this process's part of them.

    Attributes:
        images: ``(B, 3, r, r)`` float32, normalised, ``channels_last``.
        labels: ``(B,)`` int64.
        teacher: signals of the teacher for the same pixels, if there is one.
        others: number of the step's images in other processes.
        mixed: ``(B, C)`` float32, class shares of CutMix or mixup.
    """

    images: torch.Tensor
    labels: torch.Tensor
    teacher: Signals | None
    others: int = 0
    mixed: torch.Tensor | None = None

    @property
    def targets(self) -> torch.Tensor:
        """Targets of the cross-entropy: the class shares of mixtures, else the labels."""
        return self.labels if self.mixed is None else self.mixed

    @property
    def step_size(self) -> int:
        """Number of the step's images, in all processes."""
        return len(self.labels) + self.others

    @property
    def share(self) -> float:
        """Share of the step's images in this process, above 0 and up to 1."""
        return len(self.labels) / self.step_size


@dataclass(frozen=True)
class Batches:
    """The training split, epoch by epoch.

    Attributes:
        data: the images.
        resolution: side of the network's input, pixels.
        normalization: of the network.
        augmentation: how images are changed.
        batch_size: target number of images per step; the split is cut into steps of (nearly) equal size.
        views: epoch ``e`` shows view ``e % views`` of every image.
        seed: of the order.
        outputs: those of the teacher, if there is one.
        balanced: whether an epoch shows every class, rather than every image, equally often.
        device: of the batches.
        processes: those that share every step's images.

    Raises:
        UserError: too few images for so many processes.
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
    processes: Processes = ALONE

    def __post_init__(self) -> None:
        count, splits = self.processes.count, self.data.splits
        most = min(len(splits["train"]) // len(self) // 2, len(splits["val"]))
        if count > max(1, most):
            raise UserError(
                f"{count} processes are too many for steps of {len(splits['train']) // len(self)} images "
                f"and {len(splits['val'])} validation images: each needs two and one; launch at most "
                f"{max(1, most)}, or raise train.batch_size"
            )

    def __len__(self) -> int:
        """Return the steps per epoch."""
        return steps_per_epoch(len(self.data.splits["train"]), self.batch_size)

    def epoch(self, epoch: int) -> Iterator[Batch]:
        """Yield the batches of one epoch; they depend on the attributes and ``epoch`` alone.

        Order and views are the same for any number of processes.
        """
        view = epoch % self.views
        train, rng = self.data.splits["train"], np.random.default_rng([self.seed, epoch])
        if self.balanced:
            order = balanced_order(train, self.data.labels[train], rng)
        else:
            order = rng.permutation(train)
        for whole in np.array_split(order, len(self)):
            indices = self.processes.part(whole)
            pixels = seen(self.data, indices, view, self.augmentation, self.resolution, self.device)
            yield Batch(
                images=prepare(pixels, self.resolution, self.normalization),
                labels=torch.from_numpy(self.data.labels[indices]).to(self.device),
                teacher=self._teacher_signals(indices, view),
                others=len(whole) - len(indices),
                mixed=self._mixed(indices, view),
            )

    def _teacher_signals(self, indices: np.ndarray, view: int) -> Signals | None:
        if self.outputs is None:
            return None
        look = partial(augmented, self.data, indices, view, self.augmentation, self.device)
        return self.outputs(view, indices, look).to(self.device)

    def _mixed(self, indices: np.ndarray, view: int) -> torch.Tensor | None:
        if not self.augmentation.mixes:
            return None
        data = self.data
        mixture = mixture_of(data, indices, view, self.augmentation)
        return mixture.targets(data.labels, indices, data.num_classes).to(self.device)


def augmentation_of(config: AugmentConfig, data: ImageSet) -> Augmentation:
    """Return the configured augmentation; by default, the data set decides on mirroring."""
    flip = data.flip if config.flip is None else config.flip
    return Augmentation(
        config.operations,
        config.magnitude,
        flip,
        config.cutout,
        config.cutmix or 0.0,
        config.mixup,
        config.random_magnitude,
    )
