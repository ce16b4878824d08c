"""Data sets of the Hugging Face library ``datasets``, decoded by Minnow."""

from __future__ import annotations

import os
from functools import cached_property
from pathlib import Path
from typing import Any

from PIL import Image

from core.cache import cache_dir, expanded
from core.config import TableConfig
from core.errors import UserError
from training.data.decode import BrokenImageError, open_image, open_image_file
from training.data.fingerprint import digest_files
from training.data.hub_opening import HUB_PREFIX, local_folder, open_splits
from training.data.listing import Listing, Remarks, Source
from training.data.table_columns import (
    IMAGE_NAMES,
    LABEL_NAMES,
    TableColumns,
    find_column,
    likely_column,
    required_column,
)
from training.data.table_file import Table
from training.data.table_rows import BadRows, listing_of
from training.data.table_splits import NamedSplits, splits_left_out, splits_of

_BATCH = 1000  # rows
_BYTES, _TEXTS = ("binary", "large_binary"), ("string", "large_string")  # types of columns


class HubSource(Source):
    """Images and labels in columns; the splits have names.

    Args:
        name: as for :func:`training.data.hub_opening.open_splits`.
        config: columns of images and labels, where their types do not tell.
    """

    def __init__(self, name: str, config: TableConfig) -> None:
        self._opened_name, self._config = name, config
        folder = local_folder(name)
        self.name = name.rpartition("/")[2] if folder is None else folder.resolve().name
        self._cache = cache_dir()
        self._kept: list[int] = []  # rows of the images in the listing

    @property
    def remarks(self) -> Remarks:
        """Remarks, see :class:`training.data.listing.Listing`."""
        return self.listing().remarks

    @property
    def is_here(self) -> bool:
        """True for a folder; a name is asked of the hub, whatever the cache has."""
        return local_folder(self._opened_name) is not None

    def content(self, cache: Path) -> str:
        """Return the digest of everything that is read, see :class:`training.data.listing.Source`."""
        self._cache = cache
        listing = self.listing()
        files = {path for path, stored in self._places if not stored and path}
        if any(stored for _, stored in self._places):
            files |= {entry["filename"] for split in self._splits.values() for entry in split.cache_files}
        names = sorted(map(os.path.abspath, files))
        digests = digest_files(Path(os.path.commonpath(names)), names, cache) if names else ()
        return listing.digest(digests)

    def load(self, index: int) -> Image.Image:
        """Open one image, lazily."""
        row = self._kept[index]
        for split in self._images.values():
            if row < len(split):
                break
            row -= len(split)
        value = split[row]["image"] or {}
        if value.get("bytes") is not None:
            return open_image(value["bytes"])
        if not value.get("path"):
            raise BrokenImageError("no image in its row")
        return open_image_file(Path(value["path"]))

    def column(self, name: str) -> tuple[str, ...] | None:
        """Return the values of a column, one for each image of the listing."""
        column = find_column(self._table.names, name)
        if column is None:
            return None
        values = self._table.texts(column)
        self.listing()
        return tuple(values[row] for row in self._kept)

    def columns(self) -> tuple[str, ...]:
        """Return the names of the columns."""
        return self._table.names

    def _list(self) -> Listing:
        table, config = self._table, self._config
        label = config.label or self._of_type("ClassLabel", LABEL_NAMES)
        label = required_column(table.names, label, LABEL_NAMES, "label", table.where)
        names = getattr(self._features[label], "names", None)
        labels = table.texts(label)
        if names is not None:
            labels = [names[int(text)] if text and int(text) >= 0 else "" for text in labels]
        of_row = [split for split, rows in self._splits.items() for _ in range(len(rows))]
        labelled = {split for split, text in zip(of_row, labels, strict=True) if text}
        given = splits_of(labelled) if len(labelled) > 1 else NamedSplits(dict.fromkeys(labelled, ""), {})
        bad = BadRows(sum(split in given.roles for split in of_row))
        for row, (split, text) in enumerate(zip(of_row, labels, strict=True)):
            if split not in given.roles:
                continue
            if text:
                self._kept.append(row)
            else:
                bad.lacks("no label", row + 1, split)
        left_out = (
            *splits_left_out("their images have no labels", self._splits.keys() - labelled),
            *splits_left_out("none of train, val and test", labelled - given.roles.keys()),
        )
        return listing_of(
            self._file_names(of_row),
            [labels[row] for row in self._kept],
            [given.roles[of_row[row]] for row in self._kept],
            given,
            bad,
            classes=names,
            notes=[TableColumns(self._image, label, None).note],
            left_out=left_out,
        )

    def _file_names(self, of_row: list[str]) -> tuple[str, ...]:
        """Return a name for each image: its split with its path if each has another one, or the row."""
        root = expanded(self._opened_name).absolute()
        paths = [self._places[row][0] or "" for row in self._kept]
        paths = [os.path.relpath(path, root) if os.path.isabs(path) else path for path in paths]
        names = tuple(f"{of_row[row]}/{path}" for row, path in zip(self._kept, paths, strict=True))
        if not all(paths) or len(set(names)) < len(names):
            return tuple(f"{of_row[row]}/{row:06d}" for row in self._kept)
        return names

    @cached_property
    def _splits(self) -> dict[str, Any]:
        return open_splits(self._opened_name, self._cache)

    @cached_property
    def _features(self) -> dict[str, Any]:
        return dict(next(iter(self._splits.values())).features)

    @cached_property
    def _table(self) -> Table:
        def values(name: str) -> list[Any]:
            return [value for split in self._splits.values() for value in split.with_format(None)[name]]

        total = sum(map(len, self._splits.values()))
        where = f"data set {HUB_PREFIX}{self._opened_name}"
        return Table(where, tuple(self._features), range(1, total + 1), values)

    @cached_property
    def _image(self) -> str:
        table, features = self._table, self._features
        able = [name for name in table.names if _may_hold_images(features[name])]
        stored = [name for name in able if getattr(features[name], "dtype", "") in _BYTES]
        given = self._config.image or self._of_type("Image", IMAGE_NAMES)
        if given is None and len(stored) == 1:
            given = stored[0]
        names = table.names if given or not able else able
        column = required_column(names, given, IMAGE_NAMES, "image", table.where)
        if column not in able:
            kind = getattr(features[column], "dtype", type(features[column]).__name__)
            raise UserError(
                f"{table.where}: column {column!r} holds {kind}, expected images: their bytes or paths; "
                "name another one by data.table.image"
            )
        return column

    @cached_property
    def _images(self) -> dict[str, Any]:
        """The column of the images, as bytes or path, called ``image``."""
        from datasets import Image as Encoded

        return {
            name: split.select_columns([self._image])
            .rename_columns({self._image: "image"} if self._image != "image" else {})
            .cast_column("image", Encoded(decode=False))
            for name, split in self._splits.items()
        }

    @cached_property
    def _places(self) -> list[tuple[str | None, bool]]:
        """For each row the path of its image, if there is one, and whether the row holds the image."""
        import pyarrow.compute as pc

        places: list[tuple[str | None, bool]] = []
        for split in self._images.values():
            for batch in split.with_format("arrow").iter(_BATCH):
                column = batch.column("image")
                stored = pc.is_valid(pc.struct_field(column, "bytes")).to_pylist()
                places += zip(pc.struct_field(column, "path").to_pylist(), stored, strict=True)
        return places

    def _of_type(self, kind: str, known: tuple[str, ...]) -> str | None:
        """Return the one column of a type, or of several the one that is known by its name."""
        columns = [name for name, feature in self._features.items() if type(feature).__name__ == kind]
        return columns[0] if len(columns) == 1 else likely_column(columns, known)


def _may_hold_images(feature: Any) -> bool:
    """Return whether a column has images, or bytes or paths that the library takes for them."""
    if isinstance(feature, dict):
        return feature.keys() == {"bytes", "path"}
    return type(feature).__name__ == "Image" or getattr(feature, "dtype", "") in _BYTES + _TEXTS
