"""The input resolutions of a search that names none."""

from __future__ import annotations

import pytest

from core.config import DataConfig, SearchConfig, SpaceConfig, TeacherConfig
from deploy.targets.session import Latency
from minnow.input_sides import default_resolutions, small_sides
from minnow.search_setup import prepare_search
from nas.cost import cost
from nas.objectives import Objectives
from nas.spaces.elastic import Elastic

USUAL = (40, 48, 56, 64)


def smallest_macs(side: int) -> int:
    space = Elastic((side,))
    return cost(space.decode(space.smallest), 10).macs


@pytest.fixture
def sides(own_cache):
    """Return the sides of an elastic search on images of 64 px within limits; None: the usual ones."""
    images = type("Images", (), {"size": 64, "num_classes": 10})()

    def decide(*limits: str, **changes):
        config = SearchConfig(teacher=TeacherConfig(spec="any"), limits=limits)
        objectives = Objectives.parse(config.objectives, config.limits)
        return small_sides(Elastic(USUAL), config.model_copy(update=changes), objectives, images)

    return decide


def test_they_are_shares_of_the_stored_side():
    assert default_resolutions(128) == (64, 80, 96, 112, 128)
    assert default_resolutions(64, 0.625) == USUAL
    assert default_resolutions(32, 0.375) == (16, 24, 32)


@pytest.mark.parametrize("limits", [(), ("params<=200k",), ("f1>=0.5",), ("macs<=100M",)])
def test_loose_limits_change_nothing(sides, limits):
    assert sides(*limits) is None


def test_a_limit_that_the_smallest_network_hardly_meets_adds_smaller_sides(sides):
    limit = 1.1 * smallest_macs(32)  # tight at 40 px and at 32, not at 24
    assert smallest_macs(32) > 0.8 * limit > smallest_macs(24)
    assert sides(f"macs<={limit:.0f}") == (24, 32, *USUAL)


def test_no_smaller_ones_than_three_eighths(sides):
    assert sides("macs<=1k")[0] == 24


def test_a_latency_is_measured(sides, monkeypatch):
    asked = []

    def measured(network, classes, *, target):
        asked.append(network.resolution)
        return Latency(network.resolution / 100, 0.0, 100, target)

    monkeypatch.setattr("minnow.input_sides.measure_architecture", measured)
    assert sides("latency_ms<=0.45") == (32, *USUAL)
    assert asked == [40, 32]


def test_sides_that_save_no_latency_are_left_out(sides, monkeypatch):
    latency = Latency(0.5, 0.0, 100, "a board")
    monkeypatch.setattr("minnow.input_sides.measure_architecture", lambda *_, **__: latency)
    assert sides("latency_ms<=0.4") is None


def test_what_was_given_or_begun_stays(sides):
    assert sides("macs<=1k", space=SpaceConfig(name="elastic", resolutions=(48,))) is None
    assert sides("macs<=1k", study="run") is None


def test_a_search_says_so_and_keeps_them(own_cache, keeping):
    limit = smallest_macs(40)
    settings = SearchConfig(
        space=SpaceConfig(name="elastic"),
        data=DataConfig(spec="digits", size=64),
        teacher=TeacherConfig(spec="tf_efficientnet_lite0"),
        limits=(f"macs<={limit}",),
    )
    parts = prepare_search(settings, keeping)
    assert parts.config.space.resolutions == parts.space.resolutions == (32, *USUAL)
    assert any("32 px and up are tried" in note for note in keeping.notes)
