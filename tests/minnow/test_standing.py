"""What a page says of networks is what the search says of their trials."""

from __future__ import annotations

import json

import numpy as np
import pytest

from minnow.report.standing import course
from nas.objectives import Objective, Objectives
from nas.spaces.toy import Toy
from nas.trial import Proposal, Trial

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


def plain(trials: list[Trial]) -> list[dict]:
    return [
        {
            "number": trial.number,
            "choices": json.loads(json.dumps(SPACE.options(trial.choices))),
            "metrics": None if trial.metrics is None else dict(trial.metrics),
            "error": trial.error,
            "epochs": trial.proposal.epochs,
        }
        for trial in trials
    ]


@pytest.mark.parametrize("lengths", [[None], [1, 3, 9]])
@pytest.mark.parametrize("goals", [["f1"], ["f1", "macs"], ["macs", "latency_ms", "f1"]])
def test_it_agrees_with_the_objectives(goals, lengths):
    objectives = Objectives.parse(goals, ["latency_ms<=2"])
    for seed in range(30):
        trials = drawn(np.random.default_rng(seed), 25, lengths)
        for (_, now), count in zip(course(plain(trials), objectives), range(1, 26), strict=True):
            best, known = now.best(), objectives.best(trials[:count])
            assert (best and best.number) == (known and known.number)
            if best and known:
                assert best.metrics == known.metrics
        compared = {network.number: network.metrics for network in now.compared()}
        assert compared == {trial.number: trial.metrics for trial in objectives.compared(trials)}
        assert {t.number for t in objectives.front(trials)} <= {
            n.number for n in now.front(objectives.goals)
        }


def test_a_front_is_in_the_goals_it_is_asked_for():
    objectives = Objectives.parse(["f1"])
    trials = [
        {"number": n, "choices": {"n": n}, "error": None, "metrics": {"f1": f1, "params": params}}
        for n, (f1, params) in enumerate([(0.5, 10.0), (0.9, 30.0), (0.8, 40.0), (0.7, 20.0)])
    ]
    now = course(trials, objectives)[-1][1]
    front = now.front([Objective("f1", True), Objective("params", False)])
    assert [network.number for network in front] == [1, 3, 0]
    assert now.front([Objective("f1", True), Objective("latency_ms", False)]) == []
    assert [network.number for network in now.ranked()] == [1, 2, 3, 0]
