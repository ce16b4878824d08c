"""Epochs of labelled images and images without labels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from core.config import LossConfig
from distill.student_loss import StudentLoss
from training.augment import Augmentation
from training.batches import Batch, Batches
from training.data.images import DataOptions, ImageSet, open_images
from training.preprocess import IMAGENET, prepare
from training.processes import Processes
from training.signals import Signals
from training.views import augmented

PLAIN = Augmentation(operations=0, flip=False, cutout=0.0)


@pytest.fixture(scope="module")
def mixed_data(tmp_path_factory: pytest.TempPathFactory) -> ImageSet:
    """100 digits to train on, 60 random images without labels."""

    root, rng = tmp_path_factory.mktemp("more"), np.random.default_rng(5)
    for index in range(60):
        noise = rng.integers(256, size=(32, 32, 3), dtype=np.uint8)
        Image.fromarray(noise).save(root / f"{index}.png")
    cache: Path = tmp_path_factory.mktemp("cache")
    data = open_images("digits", DataOptions(unlabelled=str(root)), cache=cache)
    return data.resplit(train=data.splits["train"][:100])


def epoch(data: ImageSet, number: int = 0, augmentation: Augmentation = PLAIN, **how) -> list[Batch]:
    def marks(view: int, indices: np.ndarray, look) -> Signals:
        return Signals(torch.from_numpy(indices).float()[:, None].repeat(1, data.num_classes))

    batches = Batches(data, 32, IMAGENET, augmentation, 32, 4, 0, marks, **how)
    return list(batches.epoch(number))


def indices_of(batch: Batch) -> np.ndarray:
    return batch.teacher.logits[:, 0].long().numpy()


def test_an_epoch_shows_every_image_once_with_and_without_labels_in_the_same_batches(mixed_data):
    shown = epoch(mixed_data)
    assert sorted(np.concatenate([*map(indices_of, shown)])) == mixed_data.learned.tolist()
    assert len(shown) == 5
    for batch in shown:
        assert batch.labels.tolist() == mixed_data.labels[indices_of(batch)].tolist()
        assert 0 < (batch.labels < 0).sum() < len(batch.labels)
        assert batch.label_share == 100 / 160


@pytest.mark.parametrize("mixing", [{}, {"cutmix": 0.5, "mixup": 0.3}])
def test_class_shares_are_zero_without_a_label_and_add_up_to_one_with_one(mixed_data, mixing):
    for batch in epoch(mixed_data, augmentation=Augmentation(0, flip=False, cutout=0.0, **mixing)):
        assert batch.targets is batch.shares
        sums = batch.shares.sum(dim=1)
        torch.testing.assert_close(sums, (batch.labels >= 0).float())
        if not mixing:
            rows = batch.labels >= 0
            assert batch.shares[rows].argmax(dim=1).tolist() == batch.labels[rows].tolist()


def test_their_pixels_are_the_augmented_view(mixed_data):
    batch = epoch(mixed_data, 3, Augmentation(flip=False))[0]
    indices = indices_of(batch)
    pixels = augmented(mixed_data, indices, 3, Augmentation(flip=False), torch.device("cpu"))
    torch.testing.assert_close(batch.images, prepare(pixels, 32, IMAGENET), rtol=0, atol=0)


def test_a_balanced_epoch_balances_the_labelled_images_and_shows_the_others_once(mixed_data):
    labels = np.concatenate([batch.labels for batch in epoch(mixed_data, balanced=True)])
    counts = np.bincount(labels[labels >= 0], minlength=10)
    assert counts.tolist() == [10] * 10 and (labels < 0).sum() == 60


def test_without_them_labels_are_the_targets(digits):
    data = digits.resplit(train=digits.splits["train"][:100])
    for batch in epoch(data):
        assert batch.shares is None and batch.targets is batch.labels and batch.label_share == 1.0


def test_the_losses_of_two_processes_add_up_to_that_of_one(mixed_data):
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 32 * 32, 10))
    loss = StudentLoss(LossConfig(weight=0.3, features="none"))
    whole = [loss(network, batch) for batch in epoch(mixed_data)]
    parts = [epoch(mixed_data, processes=Processes(rank, 2)) for rank in (0, 1)]
    for value, *members in zip(whole, *parts, strict=True):
        shares = sum(batch.share * loss(network, batch) for batch in members)
        torch.testing.assert_close(shares, value)
