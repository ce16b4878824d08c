"""Metrics against values worked out by hand."""

from __future__ import annotations

import json
import warnings

import pytest

from training.metrics import compute_metrics


def test_by_hand() -> None:
    # True positives, false positives, false negatives: class 0 (2, 1, 1), class 1 (1, 1, 1),
    # class 2 (1, 0, 0); F1 = 2 tp / (2 tp + fp + fn).
    metrics = compute_metrics([0, 0, 0, 1, 1, 2], [0, 0, 1, 1, 0, 2], 3)
    assert metrics.per_class_f1 == pytest.approx((2 / 3, 1 / 2, 1.0))
    assert metrics.f1 == pytest.approx((2 / 3 + 1 / 2 + 1) / 3)
    assert metrics.accuracy == pytest.approx(4 / 6)
    assert metrics.balanced_accuracy == pytest.approx((2 / 3 + 1 / 2 + 1) / 3)
    assert metrics.confusion == ((2, 1, 0), (1, 1, 0), (0, 0, 1))


def test_macro_f1_counts_a_class_that_never_occurs_as_zero() -> None:
    metrics = compute_metrics([0, 1], [0, 1], 4)
    assert metrics.per_class_f1 == (1.0, 1.0, 0.0, 0.0)
    assert metrics.f1 == pytest.approx(0.5)
    assert metrics.balanced_accuracy == pytest.approx(1.0)
    assert len(metrics.confusion) == 4


def test_majority_guess_is_seen_through() -> None:
    metrics = compute_metrics([0] * 98 + [1] * 2, [0] * 100, 2)
    assert metrics.accuracy == pytest.approx(0.98)
    assert metrics.balanced_accuracy == pytest.approx(0.5)
    assert metrics.f1 == pytest.approx(0.5 * 2 * 98 / (2 * 98 + 2))


def test_no_warnings_and_plain_json() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        metrics = compute_metrics([0, 0, 2], [1, 0, 2], 3)
    record = json.loads(json.dumps(metrics.to_dict()))
    assert set(record) == {"f1", "accuracy", "balanced_accuracy", "per_class_f1", "confusion"}
    assert record["confusion"] == [[1, 1, 0], [0, 0, 0], [0, 0, 1]]


@pytest.mark.parametrize(
    ("labels", "predictions", "message"),
    [
        ([], [], "no predictions"),
        ([0, 1], [0], "one length"),
        ([0, 3], [0, 1], "labels must lie"),
        ([0, 1], [0, -1], "predictions must lie"),
    ],
)
def test_misuse(labels: list[int], predictions: list[int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        compute_metrics(labels, predictions, 3)
