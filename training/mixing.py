"""CutMix and mixup: an image carries part of another one, and its label says how much.

Every choice depends only on (seed, image index, view), as in :mod:`training.augment`. So a teacher's
outputs for a mixture are computed once, and a student learns from exactly that mixture.

Sources: CutMix, Yun et al. 2019, https://arxiv.org/abs/1905.04899; mixup, Zhang et al. 2018,
https://arxiv.org/abs/1710.09412; both with alpha = 1, so shares are uniform.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch

from training.augment import Augmentation, mask_of, square_sides


@dataclass(frozen=True)
class MixtureDraws:
    """The random choices of one view for every image of a set, each ``(total,)`` in 0..1.

    Attributes:
        kind: below cutmix: CutMix; above that, below cutmix + mixup: mixup.
        partner: which image it is mixed with, as a share of the way through the training split.
        other: the partner's share.
        centre: ``(2, total)``, row and column of the patch.
    """

    kind: np.ndarray
    partner: np.ndarray
    other: np.ndarray
    centre: np.ndarray


@lru_cache(maxsize=4)
def draw_mixtures(total: int, view: int, seed: int) -> MixtureDraws:
    """Draw view ``view`` of ``total`` images; each kind of choice has its own stream."""
    kinds = [np.random.default_rng([seed, view, 100 + kind]) for kind in range(4)]
    kind, partner, other = (rng.random(total) for rng in kinds[:3])
    draws = MixtureDraws(kind, partner, other, kinds[3].random((2, total)))
    for array in (draws.kind, draws.partner, draws.other, draws.centre):
        array.flags.writeable = False  # shared by every caller of this cached function
    return draws


@dataclass(frozen=True)
class Mixture:
    """Recipe of the mixtures of some images in one view.

    Attributes:
        partners: ``(B,)`` index of the other image; the image itself where nothing is mixed.
        sides: ``(2, B, S)`` bool, rows and columns of the patch, whose pixels are the partner's.
        blends: ``(B,)`` float32, the partner's weight in all pixels.
        own: ``(B,)`` float32, the image's own share of the result, in 0..1.
    """

    partners: np.ndarray
    sides: np.ndarray
    blends: torch.Tensor
    own: torch.Tensor

    @property
    def patches(self) -> torch.Tensor:
        """Mask of the partner's pixels, ``(B, 1, S, S)`` bool."""
        return mask_of(self.sides)

    def apply(self, images: torch.Tensor, others: torch.Tensor) -> torch.Tensor:
        """Return the mixtures, ``(B, 3, S, S)`` uint8.

        Args:
            images: ``(B, 3, S, S)`` uint8.
            others: of the same shape, the partners.
        """
        mixed = torch.where(self.patches.to(images.device), others, images)
        rows = self.blends.nonzero()[:, 0].to(images.device)
        if len(rows):
            weights = self.blends.to(images.device)[rows, None, None, None]
            blended = torch.lerp(images[rows].float(), others[rows].float(), weights)
            mixed[rows] = blended.round_().to(torch.uint8)
        return mixed

    def targets(self, labels: np.ndarray, indices: np.ndarray, classes: int) -> torch.Tensor:
        """Return class shares of the mixtures, ``(B, classes)`` float32.

        Args:
            labels: ``(N,)`` of the whole set; rows of images without one mean nothing.
            indices: ``(B,)`` of the images.
            classes: how many there are.
        """
        shares = torch.zeros(len(indices), classes)
        rows = torch.arange(len(indices))
        shares[rows, torch.from_numpy(labels[indices])] = self.own
        shares[rows, torch.from_numpy(labels[self.partners])] += 1 - self.own
        return shares


def mixture(
    indices: np.ndarray,
    train: np.ndarray,
    *,
    total: int,
    size: int,
    view: int,
    seed: int,
    settings: Augmentation,
) -> Mixture:
    """Return the mixtures of view ``view`` of the images ``indices``.

    Args:
        indices: ``(B,)`` in 0..total-1.
        train: the training split, where partners come from.
        total: images in the set.
        size: image side, pixels.
        view: of the augmentation.
        seed: of the augmentation.
        settings: how many images are mixed.
    """
    draws = draw_mixtures(total, view, seed)
    kind, other = draws.kind[indices], draws.other[indices]
    cut = kind < settings.cutmix
    blended = ~cut & (kind < settings.cutmix + settings.mixup)
    partners = train[(draws.partner[indices] * len(train)).astype(np.int64)]
    side = np.where(cut, np.round(np.sqrt(other) * size), 0).astype(np.int64)
    sides = square_sides(draws.centre[:, indices], size, side)
    area = torch.from_numpy(sides.sum(axis=2).prod(axis=0)).float() / size**2
    blends = torch.from_numpy(np.where(blended, other, 0)).float()
    return Mixture(np.where(cut | blended, partners, indices), sides, blends, 1 - area - blends)
