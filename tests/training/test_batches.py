"""What a training epoch shows: every image once, in a known order, with its own teacher's row."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from core.config import AugmentConfig
from training.augment import Augmentation
from training.batches import Batches, Look, augmentation_of
from training.preprocess import IMAGENET, prepare
from training.signals import Signals
from training.views import augmented, stored

PLAIN = Augmentation(operations=0, flip=False, cutout=0.0)
CPU = torch.device("cpu")


def make(data, *, augmentation=PLAIN, batch_size=64, views=4, seed=0, outputs=None) -> Batches:
    return Batches(data, 32, IMAGENET, augmentation, batch_size, views, seed, outputs)


def marks(data):
    """Teacher logits that name the image (first column) and the view (second)."""

    def outputs(view: int, indices: np.ndarray, look: Look) -> Signals:
        rows = torch.zeros(len(indices), data.num_classes)
        rows[:, 0], rows[:, 1] = torch.from_numpy(indices), view
        return Signals(rows)

    return outputs


def order_of(batches: Batches, epoch: int) -> list[int]:
    return [int(row) for batch in batches.epoch(epoch) for row in batch.teacher.logits[:, 0]]


def test_an_epoch_shows_every_training_image_once(digits):
    batches = make(digits, outputs=marks(digits))
    for epoch in (0, 5):
        assert sorted(order_of(batches, epoch)) == digits.splits["train"].tolist()


def test_the_order_is_a_permutation_of_the_training_split(digits):
    for epoch in (0, 5):
        order = np.random.default_rng([2, epoch]).permutation(digits.splits["train"])
        assert order_of(make(digits, seed=2, outputs=marks(digits)), epoch) == order.tolist()


def test_labels_pixels_and_teacher_rows_belong_together(digits):
    batches = make(digits, augmentation=Augmentation(flip=False), outputs=marks(digits), views=3)
    for epoch in (0, 4):
        for batch in batches.epoch(epoch):
            indices = batch.teacher.logits[:, 0].long().numpy()
            assert batch.teacher.logits[:, 1].unique().tolist() == [epoch % 3]
            assert batch.labels.tolist() == digits.labels[indices].tolist()
            pixels = augmented(digits, indices, epoch % 3, batches.augmentation, CPU)
            torch.testing.assert_close(batch.images, prepare(pixels, 32, IMAGENET), rtol=0, atol=0)


def test_batches_are_what_a_network_expects(digits):
    batch = next(iter(make(digits).epoch(0)))
    assert batch.images.dtype == torch.float32 and batch.images.shape[1:] == (3, 32, 32)
    assert batch.images.is_contiguous(memory_format=torch.channels_last)
    assert batch.labels.dtype == torch.int64
    assert batch.teacher is None
    smaller = next(iter(replace(make(digits), resolution=24).epoch(0)))
    assert smaller.images.shape[1:] == (3, 24, 24)


def test_the_order_depends_on_seed_and_epoch_and_nothing_else(digits):
    one, other = (make(digits, outputs=marks(digits), seed=3) for _ in range(2))
    order_of(one, 0)
    torch.manual_seed(99)
    np.random.seed(99)
    later = order_of(one, 7)
    assert order_of(other, 7) == later
    assert order_of(other, 6) != later
    assert order_of(replace(other, seed=4), 7) != later
    assert order_of(replace(other, batch_size=16, views=2), 7) == later


def test_another_seed_shows_the_same_pixels_of_an_image(digits):
    """Teacher outputs serve every seed, so augmentation must not depend on it."""

    def of_first(seed: int) -> torch.Tensor:
        batches = make(digits, augmentation=Augmentation(), outputs=marks(digits), seed=seed)
        for batch in batches.epoch(2):
            found = (batch.teacher.logits[:, 0] == float(digits.splits["train"][0])).nonzero()
            if len(found):
                return batch.images[found[0, 0]]
        raise LookupError

    assert torch.equal(of_first(0), of_first(1))


@pytest.mark.parametrize("batch_size", [2, 3, 4, 16, 64, 5000])
@pytest.mark.parametrize("images", [*range(2, 14), 63, 65, 97, 200])
def test_no_batch_of_one(digits, images: int, batch_size: int):
    """Batch normalisation cannot train on one image."""
    few = digits.resplit(train=digits.splits["train"][:images])
    batches = make(few, batch_size=batch_size)
    sizes = [len(batch.labels) for batch in batches.epoch(0)]
    assert sum(sizes) == images and len(sizes) == len(batches)
    assert min(sizes) >= 2
    assert max(sizes) - min(sizes) <= 1
    assert max(sizes) <= max(batch_size * 1.5, 3)


def test_stored_gives_the_bytes_on_disk(digits):
    indices = digits.splits["val"][:5]
    images = stored(digits, indices, CPU)
    assert images.dtype == torch.uint8 and images.shape == (5, 3, 32, 32)
    assert np.array_equal(images.permute(0, 2, 3, 1).numpy(), digits.images[indices])


def test_mirroring_follows_the_data_unless_it_is_configured(digits):
    photos = replace(digits, flip=True)
    assert not augmentation_of(AugmentConfig(), digits).flip
    assert augmentation_of(AugmentConfig(), photos).flip
    assert augmentation_of(AugmentConfig(flip=True), digits).flip
    assert not augmentation_of(AugmentConfig(flip=False), photos).flip
    config = AugmentConfig(operations=1, magnitude=4, cutout=0.5)
    assert augmentation_of(config, digits) == Augmentation(1, 4, False, 0.5)
