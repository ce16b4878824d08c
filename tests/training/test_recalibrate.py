"""Batch norm's statistics after recalibration are those of the images."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from nas.networks import build
from training.augment import Augmentation
from training.batches import Batches
from training.preprocess import IMAGENET, prepare
from training.recalibrate import recalibrate
from training.views import augmented

AUGMENTATION = Augmentation(2, 9, False, 0.25)
SEES = {"resolution": 32, "normalization": IMAGENET}


def test_statistics_are_means_over_batches(some_digits):
    model = nn.Sequential(nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4)).eval()
    kept = model[0].weight.clone()
    recalibrate(model, some_digits, AUGMENTATION, **SEES, images=120)
    order = np.random.default_rng(0).permutation(some_digits.splits["train"])
    assert model[1].momentum == 0.1 and not model.training
    assert torch.equal(model[0].weight, kept)
    recalibrate(model, some_digits, AUGMENTATION, **SEES)  # all 200, in two batches
    cpu = torch.device("cpu")
    looks = [augmented(some_digits, part, 0, AUGMENTATION, cpu) for part in (order[:100], order[100:])]
    with torch.no_grad():
        parts = [model[0](prepare(pixels, 32, IMAGENET)) for pixels in looks]
    means = torch.stack([part.mean((0, 2, 3)) for part in parts]).mean(0)
    variances = torch.stack([part.var((0, 2, 3)) for part in parts]).mean(0)
    rounding = {"rtol": 1e-3, "atol": 1e-3}  # of 90,000 numbers that batch norm sums in float32
    torch.testing.assert_close(model[1].running_mean, means, **rounding)
    torch.testing.assert_close(model[1].running_var, variances, **rounding)


def test_a_training_sees_what_recalibration_has_seen(some_digits, tiny):
    """Both take the same view from memory, and what one lacks there the other adds."""
    sees = {**SEES, "resolution": 24}
    recalibrate(build(tiny, 10), some_digits, AUGMENTATION, **sees, images=50)
    batches = Batches(some_digits, augmentation=AUGMENTATION, batch_size=64, views=1, seed=0, **sees)
    for batch in batches.epoch(0):
        assert not batch.images.is_inference()


def test_what_the_statistics_were_before_does_not_matter(some_digits, tiny):
    torch.manual_seed(0)
    model = build(tiny, 10)
    first = recalibrate(model, some_digits, AUGMENTATION, **SEES).state_dict()
    first = {name: value.clone() for name, value in first.items()}
    for part in model.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.running_mean.fill_(7.0)
    second = recalibrate(model, some_digits, AUGMENTATION, **SEES).state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)
