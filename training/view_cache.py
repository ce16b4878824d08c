"""Augmented training images at a network's resolution, kept from one walk through the views to the next.

A training walks through the same few views again and again, and so do the trials of a search. What was
augmented once is kept, as far as there is room; the pixels are the same either way.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

_BUDGET = 1 << 30  # bytes, of all views that a process keeps


@dataclass(frozen=True)
class Rows:
    """One view of a training split.

    Attributes:
        pixels: ``(n, r, r, 3)`` uint8, in the order of the split.
        known: ``(n,)`` bool, which of them were computed.
    """

    pixels: torch.Tensor
    known: np.ndarray


class Memory:
    """Views, up to a number of bytes.

    Of views that are walked through in turn the oldest is the one that is wanted next. So room is made
    by dropping the views of other trainings, and where there is none, what is kept stays.

    Args:
        budget: bytes.
    """

    def __init__(self, budget: int = _BUDGET) -> None:
        self._budget = budget
        self._kept: dict[tuple[str, int], Rows] = {}

    @property
    def size(self) -> int:
        """Bytes in use."""
        return sum(rows.pixels.nbytes for rows in self._kept.values())

    def rows(
        self, key: str, view: int, images: int, resolution: int, device: torch.device
    ) -> Rows | None:
        """Rows of a view, new ones where there are none yet; ``None``: there is no room.

        Args:
            key: of everything that shapes the pixels but the view.
            view: which.
            images: n, of the training split.
            resolution: r, pixels.
            device: where they are kept.
        """
        if (key, view) not in self._kept:
            needed = images * resolution * resolution * 3
            for other in [name for name in self._kept if name[0] != key]:
                if self.size + needed > self._budget:
                    del self._kept[other]
            if self.size + needed > self._budget:
                return None
            shape = (images, resolution, resolution, 3)
            with torch.inference_mode(False):  # or only inference could fill the rest
                pixels = torch.empty(shape, dtype=torch.uint8, device=device)
            self._kept[key, view] = Rows(pixels, np.zeros(images, dtype=bool))
        return self._kept[key, view]


MEMORY = Memory()  # of this process
