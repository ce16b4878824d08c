"""The probe of a search: what it measures, and what it turns down unmeasured."""

from __future__ import annotations

import numpy as np
import pytest

from deploy.latency_probe import FIRST, LatencyProbe
from nas.architecture import Architecture
from nas.cost import cost
from nas.spaces.mobilenet import MobileNet


@pytest.fixture(scope="module")
def networks() -> list[Architecture]:
    space, rng = MobileNet((64, 96)), np.random.default_rng(0)
    return [space.decode(space.sample(rng)) for _ in range(120)]


def latency(network: Architecture) -> float:
    return 0.1 + 0.02 * len(network.layers) + cost(network, 6).macs / 2e7


def replay(
    networks: list[Architecture], times: dict[str, float], limit: float
) -> tuple[list[float], set[str]]:
    """Return what a probe answers, and the networks that it measured."""
    measured: set[str] = set()

    def measure(network: Architecture) -> float:
        measured.add(network.key)
        return times[network.key]

    probe = LatencyProbe(measure, limit, 6)
    return [probe(network) for network in networks], measured


def test_what_is_clearly_beyond_the_limit_is_predicted(networks: list[Architecture]) -> None:
    times = {network.key: latency(network) for network in networks}
    limit = float(np.quantile(list(times.values()), 0.2))
    answers, measured = replay(networks, times, limit)
    assert {network.key for network in networks[:FIRST]} <= measured
    assert len(measured) < 0.4 * len(networks)
    for network, answer in zip(networks, answers, strict=True):
        if network.key in measured:
            assert answer == times[network.key]
        else:
            assert answer > limit
            assert answer == pytest.approx(times[network.key], rel=0.25)


def test_a_network_that_the_target_cannot_run_teaches_nothing(networks: list[Architecture]) -> None:
    times = {network.key: latency(network) for network in networks}
    broken = {network.key for network in networks[1::10]}
    times |= dict.fromkeys(broken, float("inf"))
    answers, measured = replay(networks, times, limit=1.0)
    assert len(measured) > 3 * FIRST
    for network, answer in zip(networks, answers, strict=True):
        assert (answer == float("inf")) == (network.key in broken & measured)


def test_a_network_is_measured_once(networks: list[Architecture]) -> None:
    times = {network.key: latency(network) for network in networks}
    count: list[str] = []
    probe = LatencyProbe(lambda network: count.append(network.key) or times[network.key], 100.0, 6)
    for network in (*networks, *networks):
        assert probe(network) == times[network.key]
    assert len(count) == len(times)


@pytest.mark.slow
def test_where_predictions_are_off_more_is_measured(networks: list[Architecture]) -> None:
    networks = networks[:80]
    noise = np.random.default_rng(0).uniform(0.7, 1.3, len(networks))
    counts, lost = [], []
    for rough in (False, True):
        times = {
            n.key: latency(n) * (by if rough else 1.0) for n, by in zip(networks, noise, strict=True)
        }
        limit = float(np.quantile(list(times.values()), 0.2))
        _, measured = replay(networks, times, limit)
        within = {key for key, time in times.items() if time <= limit}
        counts.append(len(measured))
        lost.append(len(within - measured) / len(within))
    assert counts[0] < counts[1] < len(networks)
    assert lost[0] == 0
    assert lost[1] <= 0.1, "more than a tenth of the networks within the limit was turned down unmeasured"


def test_without_a_limit_everything_is_measured(networks: list[Architecture]) -> None:
    measured: list[Architecture] = []
    probe = LatencyProbe(lambda network: measured.append(network) or latency(network), None, 6)
    for network in networks:
        probe(network)
    assert measured == networks
