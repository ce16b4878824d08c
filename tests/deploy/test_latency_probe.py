"""Predicted latency: exact where time is linear in the features, never used within the limit."""

from __future__ import annotations

import numpy as np
import pytest

from deploy.architecture_latency import MIN_MEASURED, LatencyProbe, fit_latency_model, latency_features
from nas.architecture import Architecture, classifier
from nas.layers import Conv, InvertedResidualv3
from nas.spaces.mobilenet import MobileNet

RATES = np.array([0.1, 0.02, 0.03, 0.2])  # milliseconds


@pytest.fixture
def networks() -> list[Architecture]:
    space, rng = MobileNet((64, 96)), np.random.default_rng(0)
    return [space.decode(space.sample(rng)) for _ in range(80)]


def latency(network: Architecture) -> float:
    return float(latency_features(network, 6) @ RATES)


def test_features_by_hand():
    network = classifier(8, (Conv(4, 3, 2), InvertedResidualv3(3, 6, 8, False, False, 1)))
    hidden = 24
    moved = 3 * 64 + 4 * 16 + (4 * 16 + 8 * 16 + hidden * 32) + (8 * 16 + 8) + (8 + 8) + (8 + 1)
    assert latency_features(network, 6)[[0, 1, 3]].tolist() == pytest.approx([1, 5, moved / 1e6])


def test_rates_are_found(networks):
    features = np.array([latency_features(network, 6) for network in networks])
    assert fit_latency_model(features, features @ RATES) == pytest.approx(RATES)


def test_what_is_beyond_the_limit_is_guessed(networks):
    limit = float(np.median([latency(network) for network in networks]))
    measured = []

    def measure(network: Architecture) -> float:
        measured.append(network)
        return latency(network)

    probe = LatencyProbe(measure, limit, 6)
    for turn, network in enumerate(networks):
        known = len(measured)
        assert probe(network) == pytest.approx(latency(network))
        beyond = latency(network) > 1.05 * limit
        assert (len(measured) == known) == (beyond and turn >= MIN_MEASURED)
    assert MIN_MEASURED < len(measured) < len(networks)


def test_where_guesses_are_off_more_is_measured(networks):
    limit = float(np.median([latency(network) for network in networks]))
    noise = dict(
        zip((n.key for n in networks), np.random.default_rng(0).uniform(0.7, 1.3, 80), strict=True)
    )
    counts = []
    for rough in (False, True):
        times = {n.key: latency(n) * (noise[n.key] if rough else 1.0) for n in networks}
        measured = []
        probe = LatencyProbe(lambda n, to=measured, of=times: to.append(n.key) or of[n.key], limit, 6)
        latencies = {network.key: probe(network) for network in networks}
        within = {key for key, time in times.items() if time <= limit}
        assert within <= set(measured), "one within the limit was turned down unmeasured"
        assert all(latencies[key] > limit for key in latencies.keys() - set(measured))
        counts.append(len(measured))
    assert counts[0] < counts[1] < len(networks)


def test_without_a_limit_everything_is_measured(networks):
    measured = []
    probe = LatencyProbe(lambda network: measured.append(network) or latency(network), None, 6)
    for network in networks:
        probe(network)
    assert measured == networks
