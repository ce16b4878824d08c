"""RandAugment, horizontal flip and CutOut on whole batches of uint8 images.

Every choice depends only on (seed, image index, view), never on the batch: the same image gets
the same pixels alone, in any batch and in any order. So a teacher's outputs can be cached per
(image, view) and a student trained on exactly those pixels.

Sources: RandAugment, Cubuk et al. 2019, https://arxiv.org/abs/1909.13719, with the magnitudes of
torchvision's RandAugment; CutOut, DeVries and Taylor 2017, https://arxiv.org/abs/1708.04552.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import astuple, dataclass
from functools import lru_cache

import numpy as np
import torch
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as F

from core.errors import UserError

OPERATIONS = (
    "Identity",
    "AutoContrast",
    "Equalize",
    "Rotate",
    "Solarize",
    "Color",
    "Posterize",
    "Contrast",
    "Brightness",
    "Sharpness",
    "ShearX",
    "ShearY",
    "TranslateX",
    "TranslateY",
)
UNSIGNED = frozenset({"Identity", "AutoContrast", "Equalize", "Solarize", "Posterize"})
MAX_MAGNITUDE = 30
_GREY = 128
_VERSION = 1  # of the pixels: part of Augmentation.key


@dataclass(frozen=True)
class Augmentation:
    """Strength of the training augmentation.

    Attributes:
        operations: RandAugment operations per image, drawn with replacement; 0 for none.
        magnitude: their strength, 0..30 (the 31 bins of torchvision's RandAugment).
        flip: mirror every second image.
        cutout: side of the grey CutOut square as a share of the image side, 0..1; 0 for none.
        cutmix: share of the images that carry a patch of another one, 0..1.
        mixup: share of the images that are blended with another one, 0..1.
        random_magnitude: each operation on each image has its own strength, uniform in 0..magnitude.

    Raises:
        UserError: a value out of range.
    """

    operations: int = 2
    magnitude: int = 9
    flip: bool = True
    cutout: float = 0.25
    cutmix: float = 0.0
    mixup: float = 0.0
    random_magnitude: bool = False

    def __post_init__(self) -> None:
        if self.operations < 0:
            raise UserError(f"augmentation operations is {self.operations}: choose 0 or more")
        if not 0 <= self.magnitude <= MAX_MAGNITUDE:
            raise UserError(f"augmentation magnitude is {self.magnitude}: choose 0 to {MAX_MAGNITUDE}")
        if not 0 <= self.cutout <= 1:
            raise UserError(f"augmentation cutout is {self.cutout}: choose a share from 0 to 1")
        if min(self.cutmix, self.mixup) < 0 or self.cutmix + self.mixup > 1:
            raise UserError(
                f"augmentation cutmix is {self.cutmix} and mixup {self.mixup}: they are shares of the "
                f"images, 0 or more and together at most 1"
            )

    @property
    def mixes(self) -> bool:
        """True where some images carry part of another one."""
        return self.cutmix + self.mixup > 0

    @property
    def key(self) -> str:
        """Digest of the settings: equal keys make equal pixels."""
        *alone, cutmix, mixup, random_magnitude = astuple(self)
        mixing = (cutmix, mixup) if self.mixes else ()
        settings = repr((_VERSION, *alone, *mixing, *(("random",) if random_magnitude else ())))
        return hashlib.blake2b(settings.encode(), digest_size=16).hexdigest()


#: Leaves images as they are stored.
PLAIN = Augmentation(operations=0, flip=False, cutout=0.0)


@dataclass(frozen=True)
class AugmentationDraws:
    """The random choices of one view for every image of a set.

    Attributes:
        operation: (operations, total) indices into ``OPERATIONS``.
        negative: (operations, total) bool, the sign of signed operations.
        flip: (total,) bool.
        centre: (2, total) float in 0..1, row and column of the CutOut square.
        strength: (operations, total) float in 0..1, below 1: of random magnitudes.
    """

    operation: np.ndarray
    negative: np.ndarray
    flip: np.ndarray
    centre: np.ndarray
    strength: np.ndarray


@lru_cache(maxsize=4)
def draw_augmentations(total: int, view: int, seed: int, operations: int) -> AugmentationDraws:
    """Draw view ``view`` of ``total`` images; each kind of choice has its own stream."""
    kinds = [np.random.default_rng([seed, view, kind]) for kind in range(5)]
    draws = AugmentationDraws(
        operation=kinds[0].integers(len(OPERATIONS), size=(operations, total)),
        negative=kinds[1].random((operations, total)) < 0.5,
        flip=kinds[2].random(total) < 0.5,
        centre=kinds[3].random((2, total)),
        strength=kinds[4].random((operations, total)),
    )
    for array in (draws.operation, draws.negative, draws.flip, draws.centre, draws.strength):
        array.flags.writeable = False  # shared by every caller of this cached function
    return draws


def augment(
    images: torch.Tensor,
    indices: np.ndarray,
    *,
    total: int,
    view: int,
    seed: int,
    settings: Augmentation,
) -> torch.Tensor:
    """Augment a batch: flip, then RandAugment, then CutOut.

    Args:
        images: (B, 3, S, S) uint8; not changed.
        indices: (B,) index of each image in the whole set, in 0..total-1.
        total: images in the set.
        view: which of the endless views of the set, 0 or more; usually the epoch.
        seed: of the run, 0 or more.
        settings: strength.

    Returns:
        (B, 3, S, S) uint8, a new contiguous tensor.
    """
    draws = draw_augmentations(total, view, seed, settings.operations)
    batch = images.clone(memory_format=torch.contiguous_format)
    if settings.flip:
        chosen = torch.from_numpy(np.flatnonzero(draws.flip[indices]))
        batch[chosen] = F.horizontal_flip(batch[chosen])
    magnitude = np.full(draws.strength.shape, settings.magnitude)
    if settings.random_magnitude:
        magnitude = np.floor(draws.strength * (settings.magnitude + 1)).astype(np.int64)
    for operation, negative, strength in zip(draws.operation, draws.negative, magnitude, strict=True):
        _apply_round(batch, operation[indices], negative[indices], strength[indices])
    if settings.cutout > 0:
        side = round(settings.cutout * batch.shape[-1])
        hole = mask_of(square_sides(draws.centre[:, indices], batch.shape[-1], side))
        batch.masked_fill_(hole.to(batch.device), _GREY)
    return batch


def _apply_round(
    batch: torch.Tensor, operation: np.ndarray, negative: np.ndarray, magnitude: np.ndarray
) -> None:
    """Apply one operation to each image, in place: one call for each (operation, sign, magnitude)."""
    for number, name in enumerate(OPERATIONS):
        if name == "Identity":
            continue
        mine = operation == number
        for minus in (False,) if name in UNSIGNED else (False, True):
            group = mine if name in UNSIGNED else mine & (negative == minus)
            for level in np.unique(magnitude[group]).tolist():
                chosen = torch.from_numpy(np.flatnonzero(group & (magnitude == level)))
                batch[chosen] = apply(name, batch[chosen], level, minus)


def apply(name: str, images: torch.Tensor, magnitude: int, negative: bool) -> torch.Tensor:
    """Apply one operation to (B, 3, S, S) uint8 images, all with the same sign."""
    sign = -1.0 if negative else 1.0
    share = magnitude / MAX_MAGNITUDE
    if name == "Identity":
        return images
    if name == "AutoContrast":
        return F.autocontrast(images)
    if name == "Equalize":
        return F.equalize(images)
    if name == "Solarize":
        return F.solarize(images, threshold=255.0 * (1.0 - share))
    if name == "Posterize":
        return F.posterize(images, bits=8 - round(4 * share))
    if name == "Color":
        return F.adjust_saturation(images, 1.0 + sign * 0.9 * share)
    if name == "Contrast":
        # Its mean is a float sum of whole numbers: exact, so the same however the batch is cut
        # into threads, while they stay below 2^24, which is up to 256 x 256 pixels. Far above
        # that, a pixel may differ by one.
        return F.adjust_contrast(images, 1.0 + sign * 0.9 * share)
    if name == "Brightness":
        return F.adjust_brightness(images, 1.0 + sign * 0.9 * share)
    if name == "Sharpness":
        return F.adjust_sharpness(images, 1.0 + sign * 0.9 * share)
    if name in ("TranslateX", "TranslateY"):
        return _translate(images, name, int(sign * 150.0 / 331.0 * images.shape[-1] * share))
    # Outside the image torchvision puts zeros, so zero is made to mean grey: a third cheaper than
    # its own fill, which warps a mask along.
    centred = images.float().sub_(_GREY)
    bilinear = InterpolationMode.BILINEAR
    if name == "Rotate":
        moved = F.rotate(centred, sign * 30.0 * share, interpolation=bilinear)
    else:
        degrees = math.degrees(math.atan(sign * 0.3 * share))
        shear = [degrees, 0.0] if name == "ShearX" else [0.0, degrees]
        moved = F.affine(centred, 0.0, [0, 0], 1.0, shear, bilinear, center=[0, 0])
    return moved.add_(_GREY).round_().to(torch.uint8)


def _translate(images: torch.Tensor, name: str, pixels: int) -> torch.Tensor:
    """Shift by whole pixels: the copy of a slice, with no interpolation to compute."""
    dim = 3 if name == "TranslateX" else 2
    length = images.shape[dim] - abs(pixels)
    moved = torch.full_like(images, _GREY)
    start, stop = max(0, -pixels), max(0, pixels)
    moved.narrow(dim, stop, length).copy_(images.narrow(dim, start, length))
    return moved


def square_sides(centre: np.ndarray, size: int, side: int | np.ndarray) -> np.ndarray:
    """Return rows and columns inside squares around ``centre``, cut off at the border: (2, B, S) bool.

    Args:
        centre: (2, B) row and column as a share of the image side, in 0..1.
        size: image side S, pixels.
        side: of the squares, pixels; one for all or (B,).
    """
    sides = np.asarray(side)[..., None]
    first = np.floor(centre * size).astype(np.int64)[..., None] - sides // 2
    return np.asarray((np.arange(size) >= first) & (np.arange(size) < first + sides))


def mask_of(sides: np.ndarray) -> torch.Tensor:
    """Return the mask of pixels whose row and column are in ``sides``, (2, B, S): (B, 1, S, S) bool."""
    rows, columns = torch.from_numpy(sides)
    return (rows[:, :, None] & columns[:, None, :])[:, None]
