"""What the training split looks like under each view: the same pixels for whoever asks."""

from __future__ import annotations

import numpy as np
import torch

from training.augment import Augmentation, augment
from training.data.images import ImageSet
from training.mixing import Mixture, mixture
from training.preprocess import resize
from training.view_cache import MEMORY, Memory

#: Seed of the augmentation: one for all trials, students and teachers, so that they share views.
DATA_SEED = 0


def stored(data: ImageSet, indices: np.ndarray, device: torch.device) -> torch.Tensor:
    """Images ``(B, 3, S, S)`` uint8 as they are stored."""
    return torch.from_numpy(data.images[indices]).permute(0, 3, 1, 2).to(device)


def augmented(
    data: ImageSet, indices: np.ndarray, view: int, augmentation: Augmentation, device: torch.device
) -> torch.Tensor:
    """View ``view`` of images, ``(B, 3, S, S)`` uint8.

    What an image is mixed with is an image of the training split as it is stored, so that mixing costs
    hardly more than copying.
    """
    pixels = augment(
        stored(data, indices, device),
        indices,
        total=len(data.images),
        view=view,
        seed=DATA_SEED,
        settings=augmentation,
    )
    if not augmentation.mixes:
        return pixels
    found = mixture_of(data, indices, view, augmentation)
    return found.apply(pixels, stored(data, found.partners, device))


def seen(
    data: ImageSet,
    indices: np.ndarray,
    view: int,
    augmentation: Augmentation,
    resolution: int,
    device: torch.device,
    memory: Memory = MEMORY,
) -> torch.Tensor:
    """View ``view`` of training images as a network sees them, ``(B, 3, resolution, resolution)`` uint8.

    Computed once, as far as the memory has room.
    """

    def compute(chosen: np.ndarray) -> torch.Tensor:
        return resize(augmented(data, chosen, view, augmentation, device), resolution)

    train = data.splits["train"]
    key = f"{data.digest} {augmentation.key} {resolution} {device}"
    rows = memory.rows(key, view, len(train), resolution, device)
    if rows is None:
        return compute(indices)
    places = np.searchsorted(train, indices)
    missing = np.unique(places[~rows.known[places]])
    if len(missing):
        rows.pixels[torch.from_numpy(missing)] = compute(train[missing]).permute(0, 2, 3, 1)
        rows.known[missing] = True
    return rows.pixels[torch.from_numpy(places)].permute(0, 3, 1, 2)


def mixture_of(data: ImageSet, indices: np.ndarray, view: int, augmentation: Augmentation) -> Mixture:
    """What view ``view`` of images is mixed from."""
    return mixture(
        indices,
        data.splits["train"],
        total=len(data.images),
        size=data.size,
        view=view,
        seed=DATA_SEED,
        settings=augmentation,
    )
