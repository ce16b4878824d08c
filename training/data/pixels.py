"""Decoded images on disk: ``KEY.u8`` holds the pixels, ``KEY.json`` their description.

The pixels are written first and the description last, each moved into place when whole, so an
entry is complete or is not there. Plain writes rather than a writable memory map: a full disk is
then an error that can be reported, not a bus error.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import statistics
import time
import zlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import AfterValidator, BaseModel, Field, model_validator

from core.cached_records import damaged, file_crc32, read_cached, write_cached
from core.config import MAX_SIDE
from core.errors import UserError, disk_errors
from core.files import atomic_file
from core.runtime import ordered_map
from training.data.decode import USUAL_PIXELS, BrokenImageError, max_pixels, quiet_pillow
from training.data.fingerprint import file_stamp, is_settled
from training.data.fitting import Fit, square
from training.data.listing import Listing, Source

_VERSION = 1  # of the stored format and of everything that decides a pixel; also in _Description
MAX_BROKEN = 0.05


def _name(value: Any) -> str:
    """Return a text; a file's name may hold bytes that are no text, which pydantic's ``str`` refuses."""
    if not isinstance(value, str):
        raise ValueError("expected a name")
    return value


_Name = Annotated[Any, AfterValidator(_name)]


class _Description(BaseModel):
    """``KEY.json``."""

    version: Literal[1]
    size: Annotated[int, Field(ge=1, le=MAX_SIDE)]
    count: Annotated[int, Field(ge=1)]
    classes: list[_Name]
    files: list[_Name]
    labels: list[Annotated[int, Field(ge=0)]]
    parts: list[str]  # split of each image
    broken: list[tuple[_Name, _Name]]
    crc32: int  # of the pixels
    checked: list[int] | None = None  # size and time stamps of the pixels when they were last compared

    @model_validator(mode="after")
    def _fits(self) -> _Description:
        if any(len(column) != self.count for column in (self.files, self.labels, self.parts)):
            raise ValueError("its columns differ in length")
        if max(self.labels) >= len(self.classes):
            raise ValueError("a label has no class")
        return self


@dataclass(frozen=True)
class Pixels:
    """Decoded images and their description; see ``images.ImageSet`` for the shapes."""

    content: str
    classes: tuple[str, ...]
    size: int
    images: np.ndarray
    labels: np.ndarray
    image_splits: tuple[str, ...]
    files: tuple[str, ...]
    broken: tuple[tuple[str, str], ...]


def load_pixels(
    spec: str,
    source: Source,
    size: int | None,
    fit: Fit,
    cache: Path,
    progress: Callable[[int, int], None] | None = None,
) -> Pixels:
    """Return the decoded images of ``source``, from the cache or decoded into it now.

    Raises:
        UserError: see ``images.open_images``.
    """
    content = source.content(cache)
    # Another limit makes other files broken.
    limit = () if max_pixels() == USUAL_PIXELS else (max_pixels(),)
    about = json.dumps([_VERSION, content, size, fit, *limit])
    key = hashlib.blake2b(about.encode(), digest_size=16).hexdigest()
    pixels_path = cache / "images" / f"{key}.u8"
    pixels = _read(pixels_path, content)
    if pixels is None:
        listing = source.listing()
        if listing.problems:
            raise UserError(f"data set {spec!r}: {listing.problems[0]}")
        _build(spec, source, listing, size or default_size(source.sides()), fit, pixels_path, progress)
        pixels = _read(pixels_path, content)
        if pixels is None:
            raise UserError(f"the cache entry {pixels_path} was damaged by another process: retry")
    return pixels


def default_size(sides: Sequence[int]) -> int:
    """Return the median short side, rounded up to a multiple of 32, between 32 and 256 pixels."""
    median = statistics.median(sides) if sides else 32
    return int(min(256, max(32, -(-median // 32) * 32)))


def _build(
    spec: str,
    source: Source,
    listing: Listing,
    size: int,
    fit: Fit,
    path: Path,
    progress: Callable[[int, int], None] | None,
) -> None:
    def decode(index: int) -> np.ndarray | str:
        try:
            return square(source.load(index), size, fit)
        except BrokenImageError as error:
            return str(error)

    total = len(listing.files)
    kept: list[int] = []
    broken: list[tuple[str, str]] = []
    crc = 0
    with quiet_pillow(), atomic_file(path) as write:
        require_space(path.parent, total * size * size * 3)  # now: what a killed decode left is removed
        decoded = ordered_map(decode, total, threads=None if source.parallel else 1)
        for index, image in enumerate(decoded):
            if isinstance(image, str):
                broken.append((listing.files[index], image))
                _check_broken(spec, broken, total)
            else:
                kept.append(index)
                content = image.tobytes()
                crc = zlib.crc32(content, crc)
                write(content)
            if progress is not None:
                progress(index + 1, total)
    description = {
        "version": _VERSION,
        "size": size,
        "count": len(kept),
        "classes": listing.classes,
        "files": [listing.files[index] for index in kept],
        "labels": [listing.labels[index] for index in kept],
        "parts": [listing.image_splits[index] for index in kept],
        "broken": broken,
        "crc32": crc,
    }
    write_cached(path.with_suffix(".json"), description)


def require_space(directory: Path, size: int) -> None:
    """Check that ``size`` more bytes fit into the cache, before the work is done in vain.

    Raises:
        UserError: they do not, or the directory cannot be made.
    """
    with disk_errors(directory):
        directory.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(directory).free
    if free < size:
        raise UserError(
            f"the decoded images need {size / 1e6:,.0f} MB and {directory} has {free / 1e6:,.0f} "
            "MB left: free some space, choose a smaller size, or set MINNOW_CACHE to a directory "
            "on a larger disk"
        )


def _check_broken(spec: str, broken: Sequence[tuple[str, str]], total: int) -> None:
    if len(broken) > MAX_BROKEN * total:
        name, reason = broken[-1]
        raise UserError(
            f"data set {spec!r}: more than {MAX_BROKEN:.0%} of its {total} images are broken "
            f"(the last of {len(broken)} found: {name}: {reason}): remove or mend them; "
            f"`data check {spec}` lists them all"
        )


def _read(path: Path, content: str) -> Pixels | None:
    """Read the stored entry; None if it is missing, incomplete or damaged.

    All pixels are compared with their checksum, unless the file's time stamps say that this was done.
    """
    about = read_cached(_Description, path.with_suffix(".json"))
    stamp = file_stamp(path)
    if about is None or stamp is None:
        return None
    if stamp[0] != about.count * about.size**2 * 3:
        damaged(path, "its size is wrong")
        return None
    if stamp != about.checked:
        with disk_errors(path.parent):
            crc = file_crc32(path)
        if crc != about.crc32:
            damaged(path, "its checksum is wrong")
            return None
        if is_settled(stamp, time.time_ns()):
            with suppress(UserError):  # a cache that cannot be written is checked every time
                write_cached(path.with_suffix(".json"), {**about.model_dump(), "checked": stamp})
    with disk_errors(path.parent):
        shape = (about.count, about.size, about.size, 3)
        images = np.memmap(path, dtype=np.uint8, mode="r", shape=shape)
    labels = np.asarray(about.labels, dtype=np.int64)
    labels.flags.writeable = False
    return Pixels(
        content=content,
        classes=tuple(about.classes),
        size=about.size,
        images=images,
        labels=labels,
        image_splits=tuple(about.parts),
        files=tuple(about.files),
        broken=tuple(about.broken),
    )
