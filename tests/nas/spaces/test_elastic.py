"""What is particular to the sub-networks of a pretrained network."""

from __future__ import annotations

import numpy as np

from nas.cost import cost
from nas.spaces.elastic import Elastic

SPACE = Elastic((80, 96, 112, 128))


def test_points_of_all_sizes_take_every_option_alike():
    rng = np.random.default_rng(0)
    drawn = np.array([SPACE.spread(rng) for _ in range(4_000)])
    for place, decision in enumerate(SPACE.decisions):
        counts = np.bincount(drawn[:, place], minlength=len(decision.options))
        expected = len(drawn) / len(counts)
        assert np.abs(counts - expected).max() < 5 * np.sqrt(expected), decision.name


def test_points_of_all_sizes_reach_where_uniform_ones_do_not():
    rng = np.random.default_rng(0)

    def macs(draw):
        return np.array([cost(SPACE.decode(draw(rng)), 6).macs for _ in range(200)])

    least, most = (cost(SPACE.decode(point), 6).macs for point in (SPACE.smallest, SPACE.largest))
    uniform, spread = macs(SPACE.sample), macs(SPACE.spread)
    assert uniform.min() > 3 * least and uniform.max() < 0.6 * most
    assert (spread < 3 * least).mean() > 0.1 and (spread > 0.6 * most).mean() > 0.05


def test_the_resolution_says_nothing_about_the_rest():
    rng = np.random.default_rng(1)
    drawn = np.array([SPACE.spread(rng) for _ in range(2_000)], dtype=float)
    kept = drawn[:, 1:].mean(axis=1)
    assert abs(np.corrcoef(drawn[:, 0], kept)[0, 1]) < 0.1
    assert np.corrcoef(drawn[:, -1], kept)[0, 1] > 0.5
