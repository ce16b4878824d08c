"""Finding new networks where many are taken."""

from __future__ import annotations

import numpy as np
import pytest

import nas.spaces
from nas.objectives import Objectives
from nas.strategies import feasible
from nas.strategies.feasible import Filter


def test_more_known_networks_than_may_be_walked_to_do_not_exhaust_a_space(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Next to each of 20 known networks are new ones, and 10 may be walked to."""
    monkeypatch.setattr(feasible, "_VISITS", 10)
    space, rng = nas.spaces.load("mobilenet")(), np.random.default_rng(0)
    known = [space.canonical(space.sample(rng)) for _ in range(20)]
    seen = {space.decode(point).key for point in known}
    accepts = Filter(space, Objectives.parse(["f1"]), lambda _: {}, lambda _: {}, seen)
    assert feasible._walk(accepts, known) in set(space.neighbours(known[0])) - set(known)
