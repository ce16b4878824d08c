"""From the name of a data set to its source; the embedded digits."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from core.cache import expanded
from core.errors import UserError
from training.data.folders import FolderSource
from training.data.listing import Listing, Source
from training.data.torchvision_source import TorchvisionSource

_SIDE = 32  # four times the original 8 pixels, so that the usual strides leave something


class DigitsSource(Source):
    """``sklearn.datasets.load_digits``: 8 x 8 pixels, ten classes, enlarged to 32 x 32."""

    name = "digits"
    flip = False

    def content(self, cache: Path) -> str:
        """Return the digest of everything that is read, see :class:`training.data.listing.Source`."""
        return "sklearn-digits-1"

    def _list(self) -> Listing:
        labels = tuple(int(label) for label in self._digits.target)
        return Listing(
            classes=tuple(str(digit) for digit in range(10)),
            files=tuple(f"{label}/{index:04d}" for index, label in enumerate(labels)),
            labels=labels,
            parts=("",) * len(labels),
        )

    def load(self, index: int) -> Image.Image:
        """Open one image, lazily."""
        ink = self._digits.images[index]  # 0..16
        return Image.fromarray(np.rint(ink * (255 / 16)).astype(np.uint8))

    def sides(self) -> Sequence[int]:
        """Return short sides in pixels."""
        return [_SIDE]

    @cached_property
    def _digits(self) -> Any:
        from sklearn.datasets import load_digits

        return load_digits()


TORCHVISION_PREFIX = "torchvision:"


def find_source(spec: str) -> Source:
    """Return the source that ``spec`` names: a folder, ``digits`` or ``torchvision:NAME``.

    Raises:
        UserError: nothing of that name; lists what a spec can be.
    """
    if spec == "digits":
        return DigitsSource()
    if spec.startswith(TORCHVISION_PREFIX):
        return TorchvisionSource(spec.removeprefix(TORCHVISION_PREFIX))
    root = expanded(spec)
    choices = "a data set is a folder of class folders, 'digits' or 'torchvision:NAME'"
    if not spec or not root.exists():
        raise UserError(f"no data set {spec!r}: there is no such folder ({choices})")
    if not root.is_dir():
        raise UserError(f"data set {spec!r} is a file: {choices}")
    return FolderSource(root)
