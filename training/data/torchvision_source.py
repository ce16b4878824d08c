"""The labelled data sets of torchvision.datasets, with the train/test split each one defines."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from PIL import Image

from core.cache import cache_dir
from core.errors import UserError, one_line
from core.files import write_bytes
from training.data.decode import BrokenImageError
from training.data.fingerprint import digest_bytes, digest_files
from training.data.listing import Listing, Source, class_problems

_BY_FLAG = {"train": {"train": True}, "test": {"train": False}}
_BY_NAME = {"train": {"split": "train"}, "test": {"split": "test"}}
_BY_THREE = {split: {"split": split} for split in ("train", "val", "test")}
_WHOLE: dict[str, dict[str, Any]] = {"": {}}

# Split → the arguments that select it.
DATASETS: dict[str, dict[str, dict[str, Any]]] = {
    "Caltech101": _WHOLE,
    "Caltech256": _WHOLE,
    "CIFAR10": _BY_FLAG,
    "CIFAR100": _BY_FLAG,
    "Country211": {
        "train": {"split": "train"},
        "val": {"split": "valid"},
        "test": {"split": "test"},
    },
    "DTD": _BY_THREE,
    "EMNIST": {split: {"split": "balanced", "train": split == "train"} for split in ("train", "test")},
    "EuroSAT": _WHOLE,
    "FashionMNIST": _BY_FLAG,
    "FGVCAircraft": _BY_THREE,
    "Flowers102": _BY_THREE,
    "Food101": _BY_NAME,
    "GTSRB": _BY_NAME,
    "Imagenette": {"train": {"split": "train"}, "test": {"split": "val"}},
    "KMNIST": _BY_FLAG,
    "MNIST": _BY_FLAG,
    "OxfordIIITPet": {"train": {"split": "trainval"}, "test": {"split": "test"}},
    "QMNIST": _BY_FLAG,
    "RenderedSST2": _BY_THREE,
    "STL10": _BY_NAME,
    "SUN397": _WHOLE,
    "SVHN": _BY_NAME,
    "USPS": _BY_FLAG,
}
# Writing and traffic signs mean something else in the mirror.
_NO_FLIP = {"EMNIST", "GTSRB", "KMNIST", "MNIST", "QMNIST", "RenderedSST2", "SVHN", "USPS"}


class TorchvisionSource(Source):
    """One data set of torchvision, downloaded below the cache directory when it is not there.

    Raises:
        UserError: no such data set; lists the valid names.
    """

    def __init__(self, name: str) -> None:
        if name not in DATASETS:
            raise UserError(
                f"no torchvision data set {name!r}: choose one of {', '.join(sorted(DATASETS))}"
            )
        self.name = name
        self.flip = name not in _NO_FLIP
        self._cache = cache_dir()

    def content(self, cache: Path) -> str:
        """Return the digest of everything that is read, see :class:`training.data.listing.Source`."""
        self._cache = cache
        if not self.is_here:
            self._open()
            write_bytes(self._opened, b"")
        files = self._files()
        columns = (self.name, DATASETS[self.name], files, digest_files(self._root, files, cache))
        return digest_bytes(json.dumps(columns).encode())

    @property
    def is_here(self) -> bool:
        """True if nothing has to be downloaded."""
        return self._opened.exists()

    def _list(self) -> Listing:
        labels: list[int] = []
        image_splits: list[str] = []
        files: list[str] = []
        for split, dataset in self._open().items():
            own = _labels(dataset)
            labels += own
            image_splits += [split] * len(own)
            files += [f"{split or 'all'}/{index:06d}" for index in range(len(own))]
        classes = _classes(next(iter(self._open().values())), labels)
        folders = {split: split for split in DATASETS[self.name] if split}
        problems = class_problems(classes, labels, image_splits, folders)
        return Listing(
            classes, tuple(files), tuple(labels), tuple(image_splits), tuple(folders), tuple(problems)
        )

    def load(self, index: int) -> Image.Image:
        """Open one image, lazily."""
        for dataset in self._open().values():
            if index < len(dataset):
                try:
                    return dataset[index][0]
                except Exception as error:  # torchvision decodes here; see decode.open_image
                    raise BrokenImageError(one_line(error)) from error
            index -= len(dataset)
        raise IndexError(index)

    @property
    def _opened(self) -> Path:
        # A download that broke off leaves files; only a set that has opened once is complete.
        return self._cache / "torchvision" / f"{self.name}.opened"

    @property
    def _root(self) -> Path:
        return self._cache / "torchvision" / self.name

    def _files(self) -> tuple[str, ...]:
        paths = (path for path in self._root.rglob("*") if path.is_file())
        return tuple(sorted(path.relative_to(self._root).as_posix() for path in paths))

    def _open(self) -> dict[str, Any]:
        return self._datasets

    @cached_property
    def _datasets(self) -> dict[str, Any]:
        return {split: self._dataset(chosen) for split, chosen in DATASETS[self.name].items()}

    def _dataset(self, arguments: dict[str, Any]) -> Any:
        import torchvision.datasets

        factory = getattr(torchvision.datasets, self.name)
        try:
            return factory(str(self._root), download=False, **arguments)
        except Exception:  # not there yet, or only in part: each data set fails in its own way
            pass
        try:
            self._root.mkdir(parents=True, exist_ok=True)
            return factory(str(self._root), download=True, **arguments)
        except Exception as error:  # the connection, the server, the archive, a missing package
            reason = one_line(error)
            raise UserError(
                f"torchvision:{self.name} cannot be opened or downloaded ({reason}): connect to "
                f"the Internet, or put its files where torchvision looks for them in {self._root}"
            ) from error


def _labels(dataset: Any) -> list[int]:
    for attribute in ("targets", "labels", "_labels", "y"):
        values = getattr(dataset, attribute, None)
        if values is not None and len(values) == len(dataset):
            if getattr(values, "ndim", 1) == 2:  # QMNIST: columns that describe a digit, its class first
                values = values[:, 0]
            return [int(value) for value in values]
    return [int(dataset[index][1]) for index in range(len(dataset))]


def _classes(dataset: Any, labels: Sequence[int]) -> tuple[str, ...]:
    """Return the data set's own names in its own order; numbers where it has none."""
    count = max(labels, default=-1) + 1
    for attribute in ("classes", "categories"):
        names = getattr(dataset, attribute, None)
        if names is not None and len(names) >= count:
            return tuple(_plain(name) for name in names)
    return tuple(str(label) for label in range(count))


def _plain(name: Any) -> str:
    return " / ".join(name) if isinstance(name, (tuple, list)) else str(name)
