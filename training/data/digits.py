"""scikit-learn's handwritten digits: 1,797 real images that need no file and no network."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from training.data.listing import Listing

_SIDE = 32  # four times the original 8 pixels, so that the usual strides leave something


class DigitsSource:
    """``sklearn.datasets.load_digits``: 8 x 8 pixels, ten classes, enlarged to 32 x 32."""

    name = "digits"
    flip = False
    parallel = True
    note = ""

    def content(self, cache: Path) -> str:
        return "sklearn-digits-1"

    def listing(self) -> Listing:
        labels = tuple(int(label) for label in self._digits.target)
        return Listing(
            classes=tuple(str(digit) for digit in range(10)),
            files=tuple(f"{label}/{index:04d}" for index, label in enumerate(labels)),
            labels=labels,
            parts=("",) * len(labels),
        )

    def load(self, index: int) -> Image.Image:
        ink = self._digits.images[index]  # 0..16
        return Image.fromarray(np.rint(ink * (255 / 16)).astype(np.uint8))

    def sides(self) -> Sequence[int]:
        return [_SIDE]

    @cached_property
    def _digits(self) -> Any:
        from sklearn.datasets import load_digits

        return load_digits()
