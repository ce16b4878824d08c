"""Early stopping: when, and that interruptions do not move it."""

from __future__ import annotations

import pytest

from training.plateau import plateaued

SCORES = [0.5, 0.6, 0.6, 0.7, 0.65, 0.7, 0.71, 0.7, 0.6, 0.71]


def stops_after(scores: list[float], patience: int) -> int | None:
    for epoch in range(1, len(scores) + 1):
        if plateaued([{"val_f1": score} for score in scores[:epoch]], patience):
            return epoch
    return None


@pytest.mark.parametrize(
    ("patience", "epoch"),
    [(0, None), (1, 3), (2, 6), (3, 10), (4, None), (50, None)],
)
def test_epochs_counted_by_hand(patience, epoch):
    """A score that only equals the best is no better one."""
    assert stops_after(SCORES, patience) == epoch


def test_the_first_epoch_always_is_the_best_so_far():
    assert not plateaued([], 1)
    assert not plateaued([{"val_f1": 0.0}], 1)
    assert plateaued([{"val_f1": 0.0}, {"val_f1": 0.0}], 1)


def test_it_agrees_with_counting_epochs_one_by_one():
    """A second implementation: the counter of epochs since the last better one."""
    import random

    rng = random.Random(0)
    for _ in range(300):
        scores = [rng.randint(0, 5) / 5 for _ in range(rng.randint(1, 12))]
        patience = rng.randint(1, 5)
        best, waited, expected = -1.0, 0, None
        for epoch, score in enumerate(scores, 1):
            best, waited = (score, 0) if score > best else (best, waited + 1)
            if waited >= patience:
                expected = epoch
                break
        assert stops_after(scores, patience) == expected
