"""Views of the images that are learned from: the same pixels for teachers and students, in every batch.

A training walks through the same few views again and again, and so do the trials of a search. An
in-memory cache keeps augmented images at a network's resolution as far as it has room. The pixels are
the same either way.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from training.augment import Augmentation, augment
from training.data.images import ImageSet
from training.mixing import Mixture, mixture
from training.preprocess import resize

#: Seed of the augmentation: one for all trials, students and teachers, so that they share views.
DATA_SEED = 0
_BUDGET = 1 << 30  # bytes


@dataclass(frozen=True)
class CachedView:
    """One view of all images that are learned from.

    Attributes:
        pixels: ``(n, r, r, 3)`` uint8, in their order.
        filled: ``(n,)`` bool, the rows that were computed.
    """

    pixels: torch.Tensor
    filled: np.ndarray


class ViewCache:
    """Cache of views with a byte budget.

    Of views that are walked through in turn, the oldest is the next one needed. So the views of other
    trainings make room, and where there is still none, the cached views stay.

    Args:
        budget: bytes.
    """

    def __init__(self, budget: int = _BUDGET) -> None:
        self._budget = budget
        self._views: dict[tuple[str, int], CachedView] = {}

    @property
    def size(self) -> int:
        """Bytes in use."""
        return sum(view.pixels.nbytes for view in self._views.values())

    def view(
        self, key: str, number: int, images: int, resolution: int, device: torch.device
    ) -> CachedView | None:
        """Return a view, an empty one at the first call; ``None``: there is no room.

        Args:
            key: of everything that shapes the pixels but the view.
            number: of the view.
            images: n, that are learned from.
            resolution: r, pixels.
            device: of the pixels.
        """
        if (key, number) not in self._views:
            needed = images * resolution * resolution * 3
            for other in [name for name in self._views if name[0] != key]:
                if self.size + needed > self._budget:
                    del self._views[other]
            if self.size + needed > self._budget:
                return None
            shape = (images, resolution, resolution, 3)
            with torch.inference_mode(False):  # or only inference could fill the rest
                pixels = torch.empty(shape, dtype=torch.uint8, device=device)
            self._views[key, number] = CachedView(pixels, np.zeros(images, dtype=bool))
        return self._views[key, number]


VIEW_CACHE = ViewCache()  # of this process


def stored(data: ImageSet, indices: np.ndarray, device: torch.device) -> torch.Tensor:
    """Return images ``(B, 3, S, S)`` uint8 as they are stored."""
    return torch.from_numpy(data.images[indices]).permute(0, 3, 1, 2).to(device)


def augmented(
    data: ImageSet, indices: np.ndarray, view: int, augmentation: Augmentation, device: torch.device
) -> torch.Tensor:
    """Return view ``view`` of images, ``(B, 3, S, S)`` uint8.

    An image is mixed with an image of the training split as it is stored, so that mixing costs hardly
    more than copying. Images without labels are too, so that mixtures of labelled ones have labels.
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

    learned = data.learned
    key = f"{data.digest} {augmentation.key} {resolution} {device}"
    cached = cache.view(key, view, len(learned), resolution, device)
    if cached is None:
        return compute(indices)
    places = np.searchsorted(learned, indices)
    missing = np.unique(places[~cached.filled[places]])
    if len(missing):
        cached.pixels[torch.from_numpy(missing)] = compute(learned[missing]).permute(0, 2, 3, 1)
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
