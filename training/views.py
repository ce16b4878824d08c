"""Views of the training split: the same pixels for teachers and students, in every batch."""

from __future__ import annotations

import numpy as np
import torch

from training.augment import Augmentation, augment
from training.data.images import ImageSet
from training.mixing import Mixture, mixture
from training.preprocess import resize
from training.view_cache import VIEW_CACHE, ViewCache

#: Seed of the augmentation: one for all trials, students and teachers, so that they share views.
DATA_SEED = 0


def stored(data: ImageSet, indices: np.ndarray, device: torch.device) -> torch.Tensor:
    """Return images ``(B, 3, S, S)`` uint8 as they are stored."""
    return torch.from_numpy(data.images[indices]).permute(0, 3, 1, 2).to(device)


def augmented(
    data: ImageSet, indices: np.ndarray, view: int, augmentation: Augmentation, device: torch.device
) -> torch.Tensor:
    """Return view ``view`` of images, ``(B, 3, S, S)`` uint8.

    An image is mixed with an image of the training split as it is stored, so that mixing costs hardly
    more than copying.
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
    mixed = mixture_of(data, indices, view, augmentation)
    return mixed.apply(pixels, stored(data, mixed.partners, device))


def seen(
    data: ImageSet,
    indices: np.ndarray,
    view: int,
    augmentation: Augmentation,
    resolution: int,
    device: torch.device,
    cache: ViewCache = VIEW_CACHE,
) -> torch.Tensor:
    """Return view ``view`` of training images at a network's resolution r, ``(B, 3, r, r)`` uint8.

    It is computed once, as far as the cache has room.
    """

    def compute(chosen: np.ndarray) -> torch.Tensor:
        return resize(augmented(data, chosen, view, augmentation, device), resolution)

    train = data.splits["train"]
    key = f"{data.digest} {augmentation.key} {resolution} {device}"
    cached = cache.view(key, view, len(train), resolution, device)
    if cached is None:
        return compute(indices)
    places = np.searchsorted(train, indices)
    missing = np.unique(places[~cached.filled[places]])
    if len(missing):
        cached.pixels[torch.from_numpy(missing)] = compute(train[missing]).permute(0, 2, 3, 1)
        cached.filled[missing] = True
    return cached.pixels[torch.from_numpy(places)].permute(0, 3, 1, 2)


def mixture_of(data: ImageSet, indices: np.ndarray, view: int, augmentation: Augmentation) -> Mixture:
    """Return the mixtures of view ``view`` of images."""
    return mixture(
        indices,
        data.splits["train"],
        total=len(data.images),
        size=data.size,
        view=view,
        seed=DATA_SEED,
        settings=augmentation,
    )
