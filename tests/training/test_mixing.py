"""CutMix and mixup: pure in (seed, image, view), and labels say what the pixels hold."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from core.config import AugmentConfig
from core.errors import UserError
from training.augment import Augmentation
from training.batches import Batches, augmentation_of
from training.mixing import Mixture, mixture
from training.preprocess import IMAGENET
from training.views import augmented

CUT = Augmentation(operations=0, flip=False, cutout=0.0, cutmix=1.0)
BLEND = Augmentation(operations=0, flip=False, cutout=0.0, mixup=1.0)
BOTH = Augmentation(cutmix=0.3, mixup=0.5)
TRAIN = np.arange(0, 400, 2)  # half of the images
CPU = torch.device("cpu")


def mixed(indices: np.ndarray, settings: Augmentation, *, view: int = 3, size: int = 20) -> Mixture:
    return mixture(indices, TRAIN, total=400, size=size, view=view, seed=5, settings=settings)


@pytest.mark.parametrize("settings", [CUT, BLEND, BOTH])
def test_an_image_is_mixed_the_same_in_any_batch(settings: Augmentation) -> None:
    order = np.random.default_rng(0).permutation(TRAIN)[:50]
    whole = mixed(order, settings)
    for place, index in enumerate(order):
        alone = mixed(np.array([index]), settings)
        assert alone.partners[0] == whole.partners[place]
        assert torch.equal(alone.patches[0], whole.patches[place])
        assert alone.own[0] == whole.own[place]
    assert not np.array_equal(mixed(order, settings, view=4).partners, whole.partners)


def test_partners_come_from_the_training_split_alone() -> None:
    found = mixed(TRAIN, CUT).partners
    assert set(found) <= set(TRAIN.tolist())
    assert len(set(found)) > 100  # of 200, drawn with replacement: 126 are expected


def test_the_own_share_is_that_of_the_pixels() -> None:
    """Ones pasted and blended into zeros: the mean pixel is the partner's share."""
    zeros = torch.zeros(len(TRAIN), 3, 20, 20, dtype=torch.uint8)
    for settings in (CUT, BLEND, BOTH):
        found = mixed(TRAIN, settings)
        share = found.apply(zeros, zeros + 250).float().mean(dim=(1, 2, 3)) / 250
        torch.testing.assert_close(share, 1 - found.own, rtol=0, atol=0.5 / 250 + 1e-6)


def test_shares_are_uniform_as_with_alpha_1() -> None:
    own = mixed(TRAIN, BLEND).own.numpy()
    assert np.histogram(own, bins=4, range=(0, 1))[0].min() > 30  # of 200; 50 are expected
    cut = mixed(TRAIN, CUT, size=400).own.numpy()
    assert cut.min() >= 0 and cut.max() <= 1
    assert cut.mean() > own.mean()  # patches are cut off at the border


def test_as_many_images_are_mixed_as_were_asked_for() -> None:
    found = mixed(TRAIN, BOTH)
    pasted = found.patches.flatten(1).any(dim=1)
    blended = found.blends > 0
    assert not (pasted & blended).any()
    assert 0.2 < pasted.float().mean() < 0.4
    assert 0.4 < blended.float().mean() < 0.6
    untouched = (found.partners == TRAIN) | pasted.numpy() | blended.numpy()
    assert untouched.all()


def test_targets_are_the_shares_of_the_classes() -> None:
    labels = np.arange(400) % 4
    found = mixed(TRAIN, BOTH)
    targets = found.targets(labels, TRAIN, 4)
    torch.testing.assert_close(targets.sum(dim=1), torch.ones(len(TRAIN)))
    for row, (index, partner) in enumerate(zip(TRAIN, found.partners, strict=True)):
        expected = torch.zeros(4)
        expected[labels[index]] += found.own[row]
        expected[labels[partner]] += 1 - found.own[row]
        torch.testing.assert_close(targets[row], expected)


def test_a_batch_carries_mixtures_and_what_they_are_of(digits) -> None:
    batches = Batches(digits, 32, IMAGENET, CUT, 64, 4, 0)
    batch = next(batches.epoch(0))
    assert batch.shares is not None and batch.targets is batch.shares
    torch.testing.assert_close(batch.shares.sum(dim=1), torch.ones(len(batch.labels)))
    plain = next(Batches(digits, 32, IMAGENET, Augmentation(cutout=0.0), 64, 4, 0).epoch(0))
    assert plain.shares is None and plain.targets is plain.labels


def test_a_patch_is_the_partner_as_it_is_stored(digits) -> None:
    train = digits.splits["train"]
    index = train[:40]
    found = mixture(index, train, total=len(digits.images), size=32, view=1, seed=0, settings=CUT)
    pixels = augmented(digits, index, 1, CUT, CPU)
    others = torch.from_numpy(digits.images[found.partners]).permute(0, 3, 1, 2)
    images = torch.from_numpy(digits.images[index]).permute(0, 3, 1, 2)
    assert torch.equal(pixels, torch.where(found.patches, others, images))


def test_no_mixing_leaves_the_key_of_the_pixels_as_it_was() -> None:
    """Teachers and their outputs are cached under it."""
    assert Augmentation().key == "50a0cd7d6e2fb6bef780d1b444fdf8b5"
    assert len({Augmentation().key, CUT.key, BLEND.key, BOTH.key}) == 4


def test_shares_above_one_are_refused() -> None:
    with pytest.raises(UserError, match="together at most 1"):
        Augmentation(cutmix=0.6, mixup=0.6)
    with pytest.raises(ValueError, match="together at most 1"):
        AugmentConfig(cutmix=0.6, mixup=0.6)


def test_settings_reach_the_augmentation(digits) -> None:
    found = augmentation_of(AugmentConfig(cutmix=0.25, mixup=0.5), digits)
    assert (found.cutmix, found.mixup) == (0.25, 0.5)
