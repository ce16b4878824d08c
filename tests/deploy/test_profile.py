"""Predicted latency: exact where time is a sum over operations, and close where kinds of them differ."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import spearmanr

from deploy.profile import LEAST, fit
from nas.architecture import Architecture, classifier
from nas.layers import Conv, InvertedResidualv3
from nas.operations import CONVOLUTION, Operation
from nas.spaces.mobilenet import MobileNet

CLASSES = 6


@pytest.fixture(scope="module")
def networks() -> list[Architecture]:
    space, rng = MobileNet((64, 96)), np.random.default_rng(0)
    return [space.decode(space.sample(rng)) for _ in range(150)]


def device(network: Architecture, time: object) -> float:
    """Return the time of a network on a device where every operation takes its own, in ms."""
    return sum(time(operation) for operation in network.operations(CLASSES))


def linear(operation: Operation) -> float:
    return 0.01 + operation.macs / 2e7 + operation.traffic / 5e6


def of_kinds(operation: Operation) -> float:
    """Slow depthwise convolutions, slower with larger kernels; cheap additions and gates."""
    if operation.kind != CONVOLUTION:
        return 0.002 + operation.traffic / 2e7
    speed = 2e6 * operation.kernel if operation.groups > 1 else 5e7
    return 0.01 + operation.macs / speed + operation.weights / 1e8


def errors(
    time: object, networks: list[Architecture], count: int, noise: float = 0.0
) -> tuple[np.ndarray, float]:
    """Return the relative errors on networks that were not measured, and the rank correlation."""
    truth = np.array([device(network, time) for network in networks])
    measured = truth[:count] * np.exp(noise * np.random.default_rng(1).normal(size=count))
    predicted = fit(networks[:count], measured, CLASSES).predict(networks[count:])
    return np.abs(predicted / truth[count:] - 1), float(spearmanr(predicted, truth[count:]).statistic)


def test_a_linear_device_is_recovered(networks: list[Architecture]) -> None:
    wrong, rank = errors(linear, networks, 30)
    assert wrong.max() < 0.02
    assert rank > 0.999


@pytest.mark.parametrize(("count", "near"), [(30, 0.8), (100, 0.95)])
def test_a_device_on_which_kinds_differ_is_learnt(
    networks: list[Architecture], count: int, near: float
) -> None:
    wrong, rank = errors(of_kinds, networks, count, noise=0.02)
    assert (wrong < 0.1).mean() >= near
    assert rank > 0.95


def test_more_networks_teach_more(networks: list[Architecture]) -> None:
    few, many = (np.median(errors(of_kinds, networks, count, noise=0.02)[0]) for count in (8, 100))
    assert many < few / 2


def test_another_unit_of_time_changes_nothing_else(networks: list[Architecture]) -> None:
    times = np.array([device(network, of_kinds) for network in networks[:40]])
    one, thousand = (fit(networks[:20], scale * times[:20], CLASSES) for scale in (1, 1000))
    np.testing.assert_allclose(
        thousand.predict(networks[20:40]), 1000 * one.predict(networks[20:40]), rtol=1e-3
    )


def test_a_network_of_unknown_operations_has_a_time(networks: list[Architecture]) -> None:
    times = [device(network, of_kinds) for network in networks[:10]]
    strange = classifier(
        32, (Conv(8, 7, 2, groups=1, activation="SiLU"), InvertedResidualv3(7, 9.5, 72, True, True, 2))
    )
    (predicted,) = fit(networks[:10], times, CLASSES).predict([strange])
    assert 0 < predicted < 10 * max(times)


def test_equal_networks_have_equal_times(networks: list[Architecture]) -> None:
    predictor = fit(networks[:5] * 2, [1.0] * 5 + [1.1] * 5, CLASSES)
    assert predictor.predict(networks[:5]) == pytest.approx(1.05, rel=0.1)
    assert predictor.predict([]).shape == (0,)


@pytest.mark.parametrize(
    ("count", "times", "complaint"),
    [
        (LEAST - 1, [1.0] * (LEAST - 1), "3 measured networks or more are needed, got 2"),
        (4, [1.0] * 3, r"4 networks and latencies of shape \(3,\)"),
        (3, [1.0, 0.0, 2.0], "latencies must be positive numbers"),
        (3, [1.0, float("nan"), 2.0], "latencies must be positive numbers"),
    ],
)
def test_misuse(networks: list[Architecture], count: int, times: list[float], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        fit(networks[:count], times, CLASSES)
