"""Cross-validated heads: scikit-learn's own give the same, and no head has seen the label it judges."""

from __future__ import annotations

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from teachers import out_of_sample
from teachers.linear_head import FrozenBody
from teachers.out_of_sample import cross_validated, pooled_features
from training.evaluate import logits_of
from training.preprocess import Normalization


def some_features(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    labels = rng.integers(3, size=150)
    return (rng.normal(size=(150, 8)) + 2 * np.eye(3, 8)[labels]).astype(np.float32), labels


def test_as_scikit_learn_cross_validates(monkeypatch):
    features, labels = some_features(np.random.default_rng(0))
    monkeypatch.setattr(out_of_sample, "best_penalty", lambda *given: 0.01)
    done: list[tuple[int, int]] = []
    found = cross_validated(features, labels, folds=5, seed=3, report=lambda *count: done.append(count))
    cut = StratifiedKFold(5, shuffle=True, random_state=3)
    model = make_pipeline(StandardScaler(), LogisticRegression(C=1 / (0.01 * 120), max_iter=1000))
    expected = cross_val_predict(model, features, labels, cv=cut, method="predict_proba")
    np.testing.assert_allclose(found, expected, atol=2e-3)
    assert done == [(fold, 5) for fold in range(1, 6)]


def test_labels_that_mean_nothing_are_not_learned_by_heart():
    """With more features than images, a head knows its own training labels; out of sample it guesses."""
    rng = np.random.default_rng(0)
    features, labels = rng.normal(size=(200, 400)).astype(np.float32), np.tile([0, 1], 100)
    probabilities = cross_validated(features, labels)
    assert 0.3 < np.mean(probabilities.argmax(axis=1) == labels) < 0.7
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)


def test_a_rare_class_has_probabilities_too():
    features, labels = some_features(np.random.default_rng(1))
    labels[:3] = 3
    probabilities = cross_validated(features, labels)
    assert probabilities.shape == (150, 4) and np.all(probabilities > 0)


def test_features_are_those_of_the_images_as_they_are_stored(some_digits, own_cache):
    torch.manual_seed(0)
    network = torch.nn.Sequential(
        torch.nn.Conv2d(3, 5, 3), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten()
    )
    body = FrozenBody(network.eval(), 32, Normalization((0.5,) * 3, (0.5,) * 3), "digest")
    counted: list[tuple[int, int]] = []
    features = pooled_features(body, some_digits, report=lambda *count: counted.append(count))
    everything = np.arange(len(some_digits.images))
    seen = {"resolution": 32, "normalization": body.normalization}
    expected = logits_of(body.model, some_digits, everything, **seen)
    np.testing.assert_allclose(features, expected, rtol=2e-3, atol=2e-3)  # stored as float16
    assert counted[-1] == (1797, 1797)
    pooled_features(body, some_digits, report=lambda *count: counted.clear())
    assert counted, "the second time they come from the cache"
