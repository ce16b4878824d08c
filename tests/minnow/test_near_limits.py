"""The subnets that a supernet is trained for, where a search has limits."""

from __future__ import annotations

import pytest

from deploy.targets import DEFAULT, costs_on
from minnow import near_limits
from minnow.near_limits import subnets_near_limits
from nas.cost import cost
from nas.objectives import Objectives
from nas.spaces.elastic import Elastic


@pytest.fixture(scope="module")
def space() -> Elastic:
    return Elastic((32, 48))


def macs(networks) -> list[int]:
    return [cost(network, 3).macs for network in networks]


def test_they_are_within_all_limits_and_near_one(space):
    objectives = Objectives.parse(["f1:max"], ["macs<=3M", "params<=400k"])
    found = subnets_near_limits(space, objectives, 3, DEFAULT)
    assert len({network.key for network in found}) == len(found) > 100
    shares = [(total.macs / 3e6, total.params / 4e5) for total in (cost(network, 3) for network in found)]
    assert all(max(share) <= 1 and max(share) >= 0.6 for share in shares)
    assert found == subnets_near_limits(space, objectives, 3, DEFAULT)


@pytest.mark.parametrize("limits", [["flash_kb<=900"], ["ram_kb<=40"], ["flash_kb<=900", "ram_kb<=40"]])
def test_memory_is_that_of_the_target(space, limits, monkeypatch):
    monkeypatch.setattr(near_limits, "_SUBNETS", 32)
    objectives = Objectives.parse(["f1:max"], limits)
    found = subnets_near_limits(space, objectives, 3, "onnxruntime-int8")
    assert len(found) == 32
    for network in found:
        costs = costs_on("onnxruntime-int8", network, 3)
        shares = [costs[limit.metric] / limit.value for limit in objectives.limits]
        assert 0.6 <= max(shares) <= 1


def test_a_front_needs_small_ones_too(space):
    found = macs(
        subnets_near_limits(space, Objectives.parse(["f1:max", "macs:min"], ["macs<=3M"]), 3, DEFAULT)
    )
    assert max(found) <= 3e6 and min(found) < 1e6


def test_a_latency_is_predicted_from_measured_ones(space, own_cache, monkeypatch):
    monkeypatch.setattr(near_limits, "_MEASURED", 6)
    limit = 0.5
    found = subnets_near_limits(space, Objectives.parse(["f1:max"], [f"latency_ms<={limit}"]), 3, DEFAULT)
    assert found and len(list((own_cache / "latency").iterdir())) == 6
    assert len({network.resolution for network in found}) == 2


@pytest.mark.parametrize("limits", [[], ["f1>=0.5"], ["params<=100M"], ["macs<=400k"]])
def test_without_a_limit_that_decides_the_size_there_are_none(space, limits, monkeypatch):
    """Nor where hardly any network is within it."""
    monkeypatch.setattr(near_limits, "_DRAWS", 1_000)
    assert subnets_near_limits(space, Objectives.parse(["f1:max"], limits), 3, DEFAULT) == ()
