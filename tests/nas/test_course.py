"""The course and the ranking of a study agree with ``best`` and ``front`` on random trials."""

from __future__ import annotations

import numpy as np
import pytest

from nas.objectives import Objective, Objectives
from nas.spaces.toy import Toy
from nas.trial import Proposal, Trial, merged

SPACE = Toy((16, 24))
POINTS = list(SPACE.points())


def drawn(rng: np.random.Generator, count: int, lengths: list[int | None]) -> list[Trial]:
    """Trials with ties, repeats of networks, failures, NaN and several lengths of training."""
    trials = []
    for number in range(count):
        point = POINTS[rng.integers(len(POINTS))]
        epochs = lengths[rng.integers(len(lengths))]
        proposal = Proposal(number, point, SPACE.decode(point), seed=number, epochs=epochs)
        if rng.random() < 0.15:
            trials.append(proposal.fail("no luck"))
            continue
        f1 = float("nan") if rng.random() < 0.05 else round(rng.random(), 1)
        trials.append(proposal.complete({"f1": f1, "macs": sum(point), "latency_ms": rng.integers(1, 4)}))
    return trials


@pytest.mark.parametrize("lengths", [[None], [1, 3, 9]])
@pytest.mark.parametrize("goals", [["f1"], ["f1", "macs"], ["macs", "latency_ms", "f1"]])
def test_the_course_is_the_best_of_what_is_known(goals: list[str], lengths: list[int | None]) -> None:
    objectives = Objectives.parse(goals, ["latency_ms<=2"])
    for seed in range(30):
        trials = drawn(np.random.default_rng(seed), 25, lengths)
        course = objectives.course(trials)
        assert course == [objectives.best(trials[:count]) for count in range(1, 26)]


@pytest.mark.parametrize("lengths", [[None], [1, 3, 9]])
def test_the_ranking_has_every_network_once_in_an_order_that_respects_dominance(
    lengths: list[int | None],
) -> None:
    objectives = Objectives.parse(["f1", "macs"], ["latency_ms<=2"])
    for seed in range(30):
        trials = drawn(np.random.default_rng(seed), 40, lengths)
        sound = objectives.sound(trials)
        ranked = objectives.ranked(trials)
        keys = [trial.architecture.key for trial in ranked]
        assert sorted(keys) == sorted({trial.architecture.key for trial in sound})
        assert all(trial in merged(sound) for trial in ranked)
        for trial in ranked:
            same = [t for t in sound if t.architecture.key == trial.architecture.key]
            assert trial.length == max(t.length for t in same)
        for place, trial in enumerate(ranked):
            assert all(trial.length >= other.length for other in ranked[place:])
            for other in ranked[place:]:
                if other.length == trial.length:
                    one, two = (objectives.violation(t.metrics or {}) for t in (trial, other))
                    assert one <= two
                    if one == two == 0:
                        assert not objectives.dominates(other.metrics or {}, trial.metrics or {})


def test_a_front_in_other_goals() -> None:
    values = [(0.5, 10.0), (0.9, 30.0), (0.8, 40.0), (0.7, 20.0)]
    trials = [
        Proposal(n, POINTS[n], SPACE.decode(POINTS[n]), seed=n).complete({"f1": f1, "params": params})
        for n, (f1, params) in enumerate(values)
    ]
    f1, params, latency = (
        Objective("f1", True),
        Objective("params", False),
        Objective("latency_ms", False),
    )
    assert [trial.number for trial in Objectives((f1, params)).front(trials)] == [1, 3, 0]
    assert Objectives((f1, latency)).front(trials) == []
    assert [trial.number for trial in Objectives((f1,)).ranked(trials)] == [1, 2, 3, 0]
