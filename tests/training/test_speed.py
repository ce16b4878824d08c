"""Timing of a network before its training: how long it takes, and what it leaves as it was."""

from __future__ import annotations

import time

import pytest
import torch
from torch import nn

from training.speed import inference_seconds, training_seconds

_CPU = torch.device("cpu")


class _Clocked(nn.Module):
    """A network whose forward pass takes a given time of a clock of its own."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 2)
        self.seconds = seconds

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        _Clocked.now += self.seconds
        _Clocked.calls += 1
        logits: torch.Tensor = self.layer(images.mean(dim=(2, 3)))
        return logits

    now, calls = 0.0, 0


@pytest.mark.parametrize(("seconds", "calls"), [(0.064, 22), (0.512, 8), (8.0, 5)])
def test_short_steps_are_timed_more_often_than_long_ones(
    monkeypatch: pytest.MonkeyPatch, seconds: float, calls: int
) -> None:
    monkeypatch.setattr(time, "perf_counter", lambda: _Clocked.now)
    for timed in (training_seconds, inference_seconds):
        _Clocked.now, _Clocked.calls = 0.0, 0
        assert timed(_Clocked(seconds), 16, _CPU) == pytest.approx(seconds / 64)
        assert _Clocked.calls == calls


def test_the_network_stays_as_it_was() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    before = {name: value.clone() for name, value in model.state_dict().items()}
    assert training_seconds(model.eval(), 16, _CPU) > 0 and not model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
