"""In-memory cache of augmented images with a byte budget.

A training walks through the same few views again and again, and so do the trials of a search. The
cache keeps augmented images at a network's resolution as far as it has room. The pixels are the same
either way.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

_BUDGET = 1 << 30  # bytes


@dataclass(frozen=True)
class CachedView:
    """One view of a training split.

    Attributes:
        pixels: ``(n, r, r, 3)`` uint8, in the order of the split.
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
            images: n, of the training split.
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
