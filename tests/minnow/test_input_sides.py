"""The input resolutions of a search that names none."""

from __future__ import annotations

import pytest

from core.config import SearchConfig, SpaceConfig, TeacherConfig
from minnow.input_sides import default_resolutions, with_small_sides
from nas.cost import cost
from nas.objectives import Objectives
from nas.spaces.elastic import Elastic

USUAL = (40, 48, 56, 64)


def smallest_macs(side: int) -> int:
    space = Elastic((side,))
    return cost(space.decode(space.smallest), 10).macs


@pytest.fixture
def sides(some_digits, own_cache, keeping, monkeypatch):
    """Return the sides of an elastic search on images of 64 px within limits, and what is said."""
    monkeypatch.setattr("minnow.input_sides.architecture_of", lambda spec: Elastic((64,)).base)
    images = type("Images", (), {"size": 64, "num_classes": 10})()

    def decide(*limits: str, **changes):
        config = SearchConfig(teacher=TeacherConfig(spec="any"), limits=limits)
        objectives = Objectives.parse(config.objectives, config.limits)
        decided = with_small_sides(config.model_copy(update=changes), objectives, images, keeping)
        return decided.space.resolutions, " ".join(keeping.notes)

    return decide


def test_they_are_shares_of_the_stored_side():
    assert default_resolutions(128) == (64, 80, 96, 112, 128)
    assert default_resolutions(64, 0.625) == USUAL
    assert default_resolutions(32, 0.375) == (16, 24, 32)


@pytest.mark.parametrize("limits", [(), ("params<=200k",), ("f1>=0.5",), ("macs<=100M",)])
def test_loose_limits_change_nothing(sides, limits):
    assert sides(*limits) == (None, "")


def test_a_limit_that_the_smallest_network_hardly_meets_adds_smaller_sides(sides):
    limit = 1.1 * smallest_macs(32)  # tight at 40 px and at 32, not at 24
    assert smallest_macs(32) > 0.8 * limit > smallest_macs(24)
    found, said = sides(f"macs<={limit:.0f}")
    assert found == (24, 32, *USUAL) and "24 px and up" in said


def test_no_smaller_ones_than_three_eighths(sides):
    found, _ = sides("macs<=1k")
    assert found[0] == 24


def test_a_latency_is_measured(sides, monkeypatch):
    asked = []

    def measured(network, classes):
        asked.append(network.resolution)
        return type("Latency", (), {"median_ms": network.resolution / 100})()

    monkeypatch.setattr("minnow.input_sides.measure_architecture", measured)
    found, _ = sides("latency_ms<=0.45")
    assert asked == [40, 32] and found == (32, *USUAL)


def test_sides_that_save_no_latency_are_left_out(sides, monkeypatch):
    latency = type("Latency", (), {"median_ms": 0.5})()
    monkeypatch.setattr("minnow.input_sides.measure_architecture", lambda *_: latency)
    assert sides("latency_ms<=0.4") == (None, "")


def test_what_was_given_or_begun_stays(sides):
    assert sides("macs<=1k", space=SpaceConfig(name="elastic", resolutions=(48,)))[0] == (48,)
    assert sides("macs<=1k", study="run")[0] is None
