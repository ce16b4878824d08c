"""Bytes to network input: the same on every device."""

import pytest
import torch

from training.preprocess import IMAGENET, _interpolated, prepare, resize

SIZES = (8, 20, 32, 47, 64)


@pytest.fixture
def images() -> torch.Tensor:
    return torch.randint(256, (5, 3, 32, 32), generator=torch.manual_seed(0)).to(torch.uint8)


@pytest.mark.parametrize("resolution", SIZES)
def test_floats_resize_as_bytes_do_but_for_a_level(images, resolution):
    """What GPUs resize with, in the arithmetic of a CPU."""
    found = _interpolated(images.float(), resolution).round_().clamp_(0, 255)
    assert (found - resize(images, resolution).float()).abs().max() <= 1


@pytest.mark.parametrize("resolution", SIZES)
def test_other_devices_get_floats_to_resize_and_give_bytes(images, resolution, monkeypatch):
    """CUDA's kernel knows floating point alone."""
    kinds = []
    original = torch.nn.functional.interpolate

    def interpolate(images, **options):
        kinds.append(images.dtype)
        return original(images, **options)

    monkeypatch.setattr("torch.nn.functional.interpolate", interpolate)
    found = resize(images.to("meta"), resolution)
    assert (found.dtype, found.shape) == (torch.uint8, (5, 3, resolution, resolution))
    assert kinds == ([] if resolution == 32 else [torch.float32])


def test_input_is_normalised_with_the_given_statistics(images):
    red = prepare(images, 32, IMAGENET)[:, 0]
    assert torch.allclose(red, (images[:, 0] / 255 - 0.485) / 0.229, atol=1e-6)
