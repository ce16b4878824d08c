"""Outputs and scores of a network on stored images."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics import f1_score
from torch import nn

from nas.networks import build
from training.evaluate import evaluate, logits_of
from training.preprocess import IMAGENET, prepare
from training.views import stored

HOW = {"resolution": 32, "normalization": IMAGENET}


@pytest.fixture
def network(tiny) -> nn.Module:
    torch.manual_seed(1)
    model = build(tiny, 10)
    with torch.no_grad():
        for _ in range(3):  # statistics that differ from those of any batch
            model.train()(torch.randn(8, 3, 32, 32))
    return model


def test_logits_are_those_of_a_forward_pass_in_eval_mode(network, digits):
    indices = digits.splits["val"]
    pixels = prepare(stored(digits, indices, torch.device("cpu")), 32, IMAGENET)
    network.eval()
    with torch.no_grad():
        expected = network(pixels).numpy()
    for mode in (True, False):
        network.train(mode)
        logits = logits_of(network, digits, indices, **HOW)
        assert network.training is mode
        assert logits.dtype == np.float32
        np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("batch_size", [1, 7, 1000])
def test_the_batch_size_changes_nothing(network, digits, batch_size):
    indices = digits.splits["val"][:20]
    logits = logits_of(network, digits, indices, batch_size=batch_size, **HOW)
    np.testing.assert_allclose(logits, logits_of(network, digits, indices, **HOW), rtol=1e-4, atol=1e-5)


def test_evaluation_leaves_no_trace(network, digits):
    before = {key: value.clone() for key, value in network.state_dict().items()}
    random = torch.random.get_rng_state()
    evaluate(network.train(), digits, "val", **HOW)
    assert all(torch.equal(before[key], value) for key, value in network.state_dict().items())
    assert torch.equal(random, torch.random.get_rng_state())


def test_scores_are_those_of_the_split(network, digits):
    for split in ("train", "val", "test"):
        indices = digits.splits[split]
        guess = logits_of(network, digits, indices, **HOW).argmax(axis=1)
        expected = f1_score(digits.labels[indices], guess, average="macro", labels=np.arange(10))
        scores = evaluate(network, digits, split, **HOW)
        assert scores.f1 == pytest.approx(expected)
        assert np.sum(scores.confusion) == len(indices)
