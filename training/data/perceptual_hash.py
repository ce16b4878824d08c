"""Perceptual hashes: bits that stay the same when an image is stored anew, scaled, brightened or cropped.

The hash is pHash of the library ``imagehash``: the signs, about their median, of the lowest 16 x 16
frequencies of the image's cosine transform (Zauner 2010, "Implementation and benchmarking of perceptual
image hash functions"). An image has the hashes of four variants, so that mirrored and cropped copies are
found, too.
"""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageOps

#: Side in pixels of the image that is hashed; the frequencies kept are the lowest sixteenth of it.
HASHED_SIDE = 64
#: Bits of a hash, and words of 64 bits that hold them.
HASH_BITS, HASH_WORDS = 256, 4
#: Variants of an image in the order of its hashes: as it is, mirrored, and the centre of both.
VARIANTS = ("plain", "mirrored", "cropped", "mirrored and cropped")
_CROP = 0.05  # of each side, half of it at either end
_LEAST_SIDE = 32  # pixels; smaller images, such as digits, have too few frequencies to differ in
_FLAT = 2.0  # standard deviation of the grey levels, of 256; below it a hash is noise
_BICUBIC = Image.Resampling.BICUBIC


def is_hashable(width: int, height: int) -> bool:
    """Return whether an image is large enough for hashes that tell images apart."""
    return min(width, height) >= _LEAST_SIDE


def perceptual_hashes(small: Image.Image) -> np.ndarray | None:
    """Return the hashes of an image's :data:`VARIANTS`, ``(4, HASH_WORDS)`` uint64.

    Args:
        small: the image, squashed to :data:`HASHED_SIDE` pixels.

    Returns:
        ``None`` for an image of a single colour, which has nothing to hash.
    """
    import imagehash

    grey = small.convert("L")
    if np.asarray(grey).std() < _FLAT:
        return None
    margin = HASHED_SIDE * _CROP / 2
    box = (margin, margin, HASHED_SIDE - margin, HASHED_SIDE - margin)
    centre = grey.resize(grey.size, _BICUBIC, box=box)
    variants = (grey, ImageOps.mirror(grey), centre, ImageOps.mirror(centre))
    bits = [imagehash.phash(variant, hash_size=16).hash.ravel() for variant in variants]
    return np.packbits(bits, axis=1).view("<u8")
