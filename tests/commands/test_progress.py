"""What a training says of itself where there is no terminal."""

from __future__ import annotations

import pytest

from commands import progress
from training.fit import Progress


@pytest.fixture
def clock(monkeypatch):
    """Seconds that tests set."""
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def _run(clock, capsys, *names, first=0):
    with progress.TrainingDisplay("training", *names) as display:
        for epoch in range(first, 4):
            display(Progress(epoch, 4, 1, 2, 50.0, 0.5 if epoch else None))
            clock[0] += 60.0
            display(Progress(epoch + 1, 4, 0, 2, 50.0, 0.5))
    return capsys.readouterr().err.splitlines()


def test_a_line_per_epoch_says_how_long_the_rest_takes(clock, capsys):
    assert _run(clock, capsys) == [
        "training: epoch 1 of 4, 50 images/s, best val F1 0.500; 3m 00s left",
        "training: epoch 2 of 4, 50 images/s, best val F1 0.500; 2m 00s left",
        "training: epoch 3 of 4, 50 images/s, best val F1 0.500; 1m 00s left",
        "training: epoch 4 of 4, 50 images/s, best val F1 0.500",
    ]


def test_epochs_before_an_interruption_do_not_count(clock, capsys):
    assert _run(clock, capsys, first=2)[0].endswith("; 1m 00s left")


def test_the_last_epoch_is_not_called_the_best(clock, capsys):
    assert "s, val F1 0.500;" in _run(clock, capsys, "val F1")[0]
