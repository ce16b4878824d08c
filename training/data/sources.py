"""From the name of a data set to its source; the embedded digits."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from core.cache import expanded
from core.config import USUAL_TABLE, TableConfig
from core.errors import UserError
from training.data.folders import FolderSource
from training.data.hub_opening import HUB_PREFIX
from training.data.hub_source import HubSource
from training.data.listing import Listing, Source
from training.data.table_file import READERS
from training.data.table_source import TableSource
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
            image_splits=("",) * len(labels),
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
_CHOICES = (
    f"a data set is a folder of class folders, a table ({', '.join(READERS)}), "
    f"'{HUB_PREFIX}NAME_OR_PATH', 'digits' or '{TORCHVISION_PREFIX}NAME'"
)


def is_table(spec: str) -> bool:
    """Return whether a spec names the file of a table."""
    path = expanded(spec)
    return path.suffix.lower() in READERS and not path.is_dir()


def find_source(spec: str, table: TableConfig = USUAL_TABLE) -> Source:
    """Return the source that ``spec`` names.

    Args:
        spec: a folder, a table, ``hf:NAME_OR_PATH``, ``digits`` or ``torchvision:NAME``.
        table: columns of a table, where their names do not tell.

    Raises:
        UserError: nothing of that name; lists what a spec can be. A table that cannot be read.
    """
    if spec == "digits":
        return DigitsSource()
    if spec.startswith(TORCHVISION_PREFIX):
        return TorchvisionSource(spec.removeprefix(TORCHVISION_PREFIX))
    if spec.startswith(HUB_PREFIX):
        return HubSource(spec.removeprefix(HUB_PREFIX), table)
    root = expanded(spec)
    if is_table(spec):
        return TableSource(root, table)
    if not spec or not root.exists():
        raise UserError(f"no data set {spec!r}: there is no such folder ({_CHOICES})")
    if not root.is_dir():
        raise UserError(f"data set {spec!r} is a file: {_CHOICES}")
    return FolderSource(root)
