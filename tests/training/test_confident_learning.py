"""Confident learning finds planted flips, the most certain first, and says how to install its library."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from core.errors import UserError
from training.confident_learning import find_label_errors


@pytest.fixture
def flipped() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """300 images of three classes, a classifier that is usually sure, and 15 flipped labels."""
    rng = np.random.default_rng(0)
    true = np.repeat([0, 1, 2], 100)
    logits = rng.normal(size=(300, 3)) + 4 * np.eye(3)[true]
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    flips = rng.choice(300, 15, replace=False)
    labels = true.copy()
    labels[flips] = (labels[flips] + 1) % 3
    return labels, probabilities, flips


def test_flips_are_found(flipped):
    labels, probabilities, flips = flipped
    found = find_label_errors(labels, probabilities)
    assert len(set(found.tolist()) & set(flips.tolist())) >= 14 and len(found) <= 18
    is_label = np.eye(3, dtype=bool)[labels]
    margins = probabilities[is_label] - np.where(is_label, -1, probabilities).max(axis=1)
    assert np.all(np.diff(margins[found]) >= 0), "the most certain first"


def test_nothing_is_wrong_with_labels_that_a_classifier_agrees_with():
    labels = np.repeat([0, 1], 20)
    assert not len(find_label_errors(labels, np.eye(2)[labels] * 0.8 + 0.1))


def test_without_the_library(monkeypatch):
    monkeypatch.setitem(sys.modules, "cleanlab", None)
    monkeypatch.setitem(sys.modules, "cleanlab.filter", None)
    with pytest.raises(UserError, match=r"pip install 'minnow\[labels\]'"):
        find_label_errors(np.array([0, 1]), np.eye(2))
