"""One full-resolution reading of every image: size, mode, digest of its pixels, perceptual hashes.

The result is kept in the cache under the content of the data set, so that unchanged images are decoded
once, however often they are checked.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import BaseModel, Field

from core.cached_records import read_cached, write_cached
from core.runtime import ordered_map
from training.data.decode import BrokenImageError, max_pixels, quiet_pillow
from training.data.fitting import fitted
from training.data.listing import Source
from training.data.perceptual_hash import (
    HASH_WORDS,
    HASHED_SIDE,
    VARIANTS,
    is_hashable,
    perceptual_hashes,
)
from training.data.upright import decoded

_VERSION = 1  # of the record and of all that decides a value in it
_HASH_BYTES = len(VARIANTS) * HASH_WORDS * 8
DARK = 17  # of 256 levels; 12 bits in files of 16 stay below

_Side = Annotated[int, Field(ge=1)]


class Look(BaseModel):
    """What one image is.

    Attributes:
        width, height: pixels, upright.
        mode: of Pillow.
        pixels: digest of the upright RGB pixels.
        dark: without any value of :data:`DARK` or more.
        hashes: hexadecimal, of all variants; "" where the image is too small or of a single colour.
    """

    width: _Side
    height: _Side
    mode: str
    pixels: str
    dark: bool
    hashes: Annotated[str, Field(pattern=f"^([0-9a-f]{{{2 * _HASH_BYTES}}})?$")]


class _Looks(BaseModel):
    version: Literal[1]
    images: list[Look | str]


@dataclass(frozen=True)
class Looks:
    """The images of a listing.

    Attributes:
        seen: index → image, for those that can be read.
        broken: index → reason, for the others.
    """

    seen: Mapping[int, Look]
    broken: Mapping[int, str]

    def hashes(self) -> np.ndarray:
        """Return the perceptual hashes of the readable images, ``(n, 4, 4)`` uint64; 0 for none."""
        nothing = bytes(_HASH_BYTES)
        content = b"".join(bytes.fromhex(look.hashes) or nothing for look in self.seen.values())
        return np.frombuffer(content, "<u8").reshape(-1, len(VARIANTS), HASH_WORDS)


def look_at(source: Source, cache: Path, progress: Callable[[int, int], None] | None = None) -> Looks:
    """Read every image of a source, or take what an earlier call left in the cache.

    Args:
        source: of the images.
        cache: cache directory.
        progress: called with (images read, images in all).

    Raises:
        UserError: the source cannot be listed, or the cache cannot be written.
    """
    about = json.dumps([_VERSION, source.content(cache), max_pixels()])
    path = cache / "looks" / f"{hashlib.blake2b(about.encode(), digest_size=16).hexdigest()}.json"
    count = len(source.listing().files)
    stored = read_cached(_Looks, path)
    if stored is None or len(stored.images) != count:
        images = _read(source, count, progress)
        content = [look if isinstance(look, str) else look.model_dump() for look in images]
        write_cached(path, {"version": _VERSION, "images": content})
    else:
        images = stored.images
    return Looks(
        seen={index: look for index, look in enumerate(images) if isinstance(look, Look)},
        broken={index: look for index, look in enumerate(images) if isinstance(look, str)},
    )


def _read(source: Source, count: int, progress: Callable[[int, int], None] | None) -> list[Look | str]:
    images: list[Look | str] = []
    with quiet_pillow():
        threads = None if source.parallel else 1
        for look in ordered_map(lambda index: _look(source, index), count, threads=threads):
            images.append(look)
            if progress is not None:
                progress(len(images), count)
    return images


def _look(source: Source, index: int) -> Look | str:
    """Return what an image is, or why it cannot be read."""
    try:
        image = source.load(index)
        mode = image.mode
        with decoded(image) as picture:
            digest = hashlib.blake2b(repr(picture.size).encode(), digest_size=16)
            brightest = 0
            for _, band in picture.bands():
                digest.update(band.tobytes())
                brightest = max(brightest, int(np.asarray(band).max(initial=0)))
            large = is_hashable(*picture.size)
            hashes = perceptual_hashes(fitted(picture, HASHED_SIDE, "squash")) if large else None
    except BrokenImageError as error:
        return str(error)
    width, height = picture.size
    return Look(
        width=width,
        height=height,
        mode=mode,
        pixels=digest.hexdigest(),
        dark=brightest < DARK,
        hashes="" if hashes is None else hashes.tobytes().hex(),
    )
