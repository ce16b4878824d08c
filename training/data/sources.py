"""From the name of a data set to its source."""

from __future__ import annotations

from pathlib import Path

from core.errors import UserError
from training.data.digits import DigitsSource
from training.data.folders import FolderSource
from training.data.listing import Source
from training.data.torchvision_source import TorchvisionSource

TORCHVISION_PREFIX = "torchvision:"


def find_source(spec: str) -> Source:
    """The source that ``spec`` names: a folder, ``digits`` or ``torchvision:NAME``.

    Raises:
        UserError: nothing of that name; says what a SPEC can be.
    """
    if spec == "digits":
        return DigitsSource()
    if spec.startswith(TORCHVISION_PREFIX):
        return TorchvisionSource(spec.removeprefix(TORCHVISION_PREFIX))
    root = Path(spec).expanduser()
    choices = "a data set is a folder of class folders, 'digits' or 'torchvision:NAME'"
    if not spec or not root.exists():
        raise UserError(f"no data set {spec!r}: there is no such folder ({choices})")
    if not root.is_dir():
        raise UserError(f"data set {spec!r} is a file: {choices}")
    return FolderSource(root)
