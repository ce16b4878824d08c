"""The choice of unlabelled images by the teacher's confidence."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from teachers.confidence import UNSURE, leave_out_unsure
from teachers.ensemble import TeacherEnsemble
from training.data.images import DataOptions, ImageSet, open_images


class Brightness(nn.Module):
    """The brighter the image, the surer of class 0."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(1.0), requires_grad=False)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        bright = self.scale * (images.mean(dim=(1, 2, 3)) + 3)
        return nn.functional.pad(bright[:, None], (0, 9))


@pytest.fixture
def greys(digits, own_cache: Path, tmp_path: Path) -> ImageSet:
    """The digits, and plain images of 0 to 250 in steps of 5."""
    for value in range(0, 251, 5):
        Image.new("RGB", (32, 32), (value,) * 3).save(tmp_path / f"{value:03d}.png")
    return open_images("digits", DataOptions(unlabelled=str(tmp_path)))


def taught(teacher_of, tiny, data: ImageSet, members: int = 1) -> ImageSet:
    teacher = replace(teacher_of(tiny), model=Brightness().eval())
    weights = (1 / members,) * members
    return leave_out_unsure(TeacherEnsemble((teacher,) * members, weights), data, lambda _: None)


@pytest.mark.parametrize("members", [1, 2])
def test_images_below_the_5_percent_quantile_of_validation_are_left_out(greys, teacher_of, tiny, members):
    kept = taught(teacher_of, tiny, greys, members)
    pixels = greys.images[greys.splits["val"]].mean(axis=(1, 2, 3))
    brightness = greys.images[greys.unlabelled].mean(axis=(1, 2, 3))
    least = np.quantile(pixels, UNSURE)
    near = np.abs(brightness - least) < 1  # float16, and the quantile of another function of brightness
    expected = greys.unlabelled[(brightness >= least) & ~near]
    assert 0 < len(expected) < len(greys.unlabelled)
    assert set(kept.unlabelled) - set(greys.unlabelled[near]) == set(expected)
    for part in ("train", "val", "test"):
        assert np.array_equal(kept.splits[part], greys.splits[part])
    assert kept.labelled.digest == greys.labelled.digest


def test_the_choice_is_the_same_from_the_cache(greys, teacher_of, tiny):
    assert taught(teacher_of, tiny, greys).digest == taught(teacher_of, tiny, greys).digest
