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
from training.balance import balanced_draw
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
        labels: ``(B,)`` int64; -1 for an image without a label.
        teacher: signals of the teacher for the same pixels, if there is one.
        others: number of the step's images in other processes.
        shares: ``(B, C)`` float32, class shares of CutMix or mixup; 0 for an image without a label;
            ``None`` where the labels say all.
        label_share: share of labelled images, above 0 and up to 1, among all that are learned from.
    """

    images: torch.Tensor
    labels: torch.Tensor
    teacher: Signals | None
    others: int = 0
    shares: torch.Tensor | None = None
    label_share: float = 1.0

    @property
    def targets(self) -> torch.Tensor:
        """Targets of the cross-entropy: the class shares where there are any, else the labels."""
        return self.labels if self.shares is None else self.shares

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
    """The images to learn from, epoch by epoch: the training split, and images without labels.

    Attributes:
        data: the images.
        resolution: side of the network's input, pixels.
        normalization: of the network.
        augmentation: how images are changed.
        batch_size: target number of images per step; an epoch is cut into steps of (nearly) equal size.
        views: epoch ``e`` shows view ``e % views`` of every image.
        seed: of the order.
        outputs: those of the teacher, if there is one.
        balanced: whether an epoch shows every class, rather than every labelled image, equally often.
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
        count, val = self.processes.count, len(self.data.splits["val"])
        step = len(self.data.learned) // len(self)
        most = min(step // 2, val)
        if count > max(1, most):
            raise UserError(
                f"{count} processes are too many for steps of {step} images "
                f"and {val} validation images: each needs two and one; launch at most "
                f"{max(1, most)}, or raise train.batch_size"
            )

    def __len__(self) -> int:
        """Return the steps per epoch."""
        return steps_per_epoch(len(self.data.learned), self.batch_size)

    def epoch(self, epoch: int) -> Iterator[Batch]:
        """Yield the batches of one epoch; they depend on the attributes and ``epoch`` alone.

        Order and views are the same for any number of processes.
        """
        view = epoch % self.views
        shown, rng = self.data.splits["train"], np.random.default_rng([self.seed, epoch])
        label_share = len(shown) / len(self.data.learned)
        if self.balanced:
            shown = balanced_draw(shown, self.data.labels[shown], rng)
        order = rng.permutation(np.concatenate([shown, self.data.unlabelled]))
        for whole in np.array_split(order, len(self)):
            indices = self.processes.part(whole)
            pixels = seen(self.data, indices, view, self.augmentation, self.resolution, self.device)
            yield Batch(
                images=prepare(pixels, self.resolution, self.normalization),
                labels=torch.from_numpy(self.data.labels[indices]).to(self.device),
                teacher=self._teacher_signals(indices, view),
                others=len(whole) - len(indices),
                shares=self._shares(indices, view),
                label_share=label_share,
            )

    def _teacher_signals(self, indices: np.ndarray, view: int) -> Signals | None:
        if self.outputs is None:
            return None
        look = partial(augmented, self.data, indices, view, self.augmentation, self.device)
        return self.outputs(view, indices, look).to(self.device)

    def _shares(self, indices: np.ndarray, view: int) -> torch.Tensor | None:
        data = self.data
        if not self.augmentation.mixes and not len(data.unlabelled):
            return None
        mixture = mixture_of(data, indices, view, self.augmentation)
        shares = mixture.targets(data.labels, indices, data.num_classes)
        shares[torch.from_numpy(data.labels[indices] < 0)] = 0
        return shares.to(self.device)


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
