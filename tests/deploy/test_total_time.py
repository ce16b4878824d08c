"""The time of all images: the classified images, their labels, and the timed work."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

import deploy.competition_score as total_time
from deploy.competition_score import timed_labels, total_seconds
from deploy.onnx_export import onnx_bytes
from training.data.images import ImageSet
from training.evaluate import logits_of
from training.preprocess import IMAGENET


@pytest.fixture
def noise() -> ImageSet:
    """Twelve images of coarse noise, each around its own colour, at 40 px; a network sees them resized."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (12, 1, 1, 3)) + rng.normal(0, 30, (12, 5, 5, 3))
    images = coarse.clip(0, 255).astype(np.uint8).repeat(8, axis=1).repeat(8, axis=2)
    labels, parts = np.zeros(12, dtype=np.int64), {"val": np.arange(1, 12, 2)}
    classes = ("glass", "métal", "paper")
    return ImageSet("noise", "noise", classes, 40, "0", images, labels, parts, (), ())


def test_labels_are_those_of_evaluation(network: nn.Module, noise: ImageSet) -> None:
    indices = np.array([7, 3, 11, 0, 5, 9])
    head = [part for part in network.modules() if isinstance(part, nn.Linear)][-1]
    logits = logits_of(network, noise, indices, resolution=32, normalization=IMAGENET)
    with torch.no_grad():
        head.bias -= torch.from_numpy(logits.mean(axis=0))
    logits = logits_of(network, noise, indices, resolution=32, normalization=IMAGENET)
    assert len({*logits.argmax(axis=1)}) > 1, "the images must not all look alike to the network"
    seconds, labels = timed_labels(onnx_bytes(network, 32), noise.images, indices, 32)
    assert labels.tolist() == logits.argmax(axis=1).tolist()
    assert seconds.shape == (6,) and (seconds > 0).all()


def test_every_image_is_timed_once_from_pixels_to_label(
    network: nn.Module, noise: ImageSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A clock that only resizing and the network advance: by 10 s and 1 s."""
    now, seen = 0.0, []
    real_resize, real_session = total_time.resize, total_time.open_session

    def resize(images: torch.Tensor, resolution: int) -> torch.Tensor:
        nonlocal now
        now += 10
        seen.append(images[0].permute(1, 2, 0).numpy().tobytes())
        return real_resize(images, resolution)

    class Session:
        def __init__(self, content: bytes) -> None:
            self._session = real_session(content)

        def run(self, *arguments: object) -> object:
            nonlocal now
            now += 1
            return self._session.run(*arguments)

    monkeypatch.setattr(total_time, "resize", resize)
    monkeypatch.setattr(total_time, "open_session", Session)
    monkeypatch.setattr(total_time, "thread_clock", lambda: lambda: now)
    indices = noise.splits["val"]
    assert total_seconds(network, noise, indices, resolution=32) == 11 * len(indices)
    assert seen[-len(indices) :] == [noise.images[index].tobytes() for index in indices]


def test_more_images_take_longer_and_settings_are_left_alone(network: nn.Module, noise: ImageSet) -> None:
    threads, network = torch.get_num_threads(), network.train()
    few = total_seconds(network, noise, np.zeros(20, dtype=int), resolution=32)
    many = total_seconds(network, noise, np.zeros(400, dtype=int), resolution=32)
    assert many > 5 * few
    assert torch.get_num_threads() == threads and network.training


def test_a_smaller_set_than_the_warm_up(network: nn.Module, noise: ImageSet) -> None:
    one = replace(noise, splits={"val": np.array([2])})
    assert total_seconds(network, one, one.splits["val"], resolution=32) > 0
