"""The Gaussian-process strategy: it finds optima early, and keeps to what it may propose."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

import nas.spaces
from core.errors import UserError
from nas.cost import cost
from nas.objectives import Objectives
from nas.strategies import Strategy
from nas.strategies.gp.acquisition import View
from nas.strategies.gp.strategy import Gp
from nas.strategies.random import RandomSearch
from nas.trial import Proposal

EFFECTS = np.random.default_rng(5).normal(size=(32, 4))


def make(
    kind: type[Strategy],
    space: str = "macro",
    goals: Sequence[str] = ("f1",),
    limits: Sequence[str] = (),
    seed: int = 0,
) -> Strategy:
    objectives = Objectives.parse(goals, limits)
    return kind(nas.spaces.load(space)(), objectives, seed=seed, num_classes=10)


def additive(choices: Sequence[int]) -> float:
    return float(sum(EFFECTS[place, choice] for place, choice in enumerate(choices)))


def run(strategy: Strategy, trials: int, noise: float = 0.0) -> list[Proposal]:
    rng, asked = np.random.default_rng(strategy.seed), []
    for _ in range(trials):
        proposal = strategy.ask()
        total = cost(proposal.architecture, 10)
        score = additive(proposal.choices) + noise * rng.normal()
        strategy.tell(proposal.complete({"f1": score, "params": total.params, "macs": total.macs}))
        asked.append(proposal)
    return asked


def test_finds_the_optimum_of_an_additive_function_in_thirty_trials() -> None:
    """One network of 3,969; random search is not even near the best percent with these seeds."""
    values = np.array([additive(point) for point in nas.spaces.load("macro")().points()])
    for seed in range(3):
        best = max(additive(proposal.choices) for proposal in run(make(Gp, seed=seed), 30, noise=0.1))
        chance = max(additive(proposal.choices) for proposal in run(make(RandomSearch, seed=seed), 30))
        assert best == values.max()
        assert chance < best


def test_climbs_in_a_space_that_cannot_be_enumerated() -> None:
    best, chance = (
        np.mean([additive(p.choices) for p in run(make(kind, "mobilenet"), 45, noise=0.3)[-10:]])
        for kind in (Gp, RandomSearch)
    )
    top = float(EFFECTS.max(axis=1).sum())
    assert best > chance + 0.4 * (top - chance)


@pytest.mark.parametrize(("space", "limit"), [("macro", "macs<=45.5M"), ("mobilenet", "params<=200k")])
def test_limits_in_closed_form_are_kept_before_anything_is_refused(space: str, limit: str) -> None:
    strategy = make(Gp, space, limits=[limit])
    refusals = 0
    for _ in range(20):
        run(strategy, 1)
        refusals += len(strategy.refused)
    assert refusals == 0


def test_failed_networks_are_not_proposed_again_and_get_no_score() -> None:
    strategy = make(Gp)
    run(strategy, 12)
    failed = strategy.ask()
    strategy.tell(failed.fail("out of memory"))
    assert failed.choices not in {proposal.choices for proposal in run(strategy, 10)}
    assert strategy.refused == []
    assert len(strategy._learners["f1"].scores) == 22


def test_a_network_observed_again_counts_again() -> None:
    strategy = make(Gp)
    first = run(strategy, 12)[0]
    repeat = Proposal(12, first.choices, first.architecture, seed=99)
    strategy.tell(repeat.complete({"f1": 0.0}))
    assert strategy._learners["f1"].points.count(first.choices) == 2
    assert strategy.ask().number == 13


def test_pending_trials_spread_what_is_asked_for_at_once() -> None:
    """Eight at once are eight different networks, and later ones know of the earlier ones."""
    strategy = make(Gp)
    run(strategy, 15)
    together = [strategy.ask().choices for _ in range(8)]
    assert len(set(together)) == 8
    assert strategy.refused == []


def apart(asked: Sequence[Proposal]) -> float:
    """Mean number of decisions in which two proposals differ."""
    points = np.array([proposal.choices for proposal in asked])
    return float((points[:, None] != points).sum(axis=2)[np.triu_indices(len(points), 1)].mean())


def test_pending_trials_do_not_crowd_at_one_point(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without hallucinations the second to eighth are the next best after the first, and close to it."""

    strategies = [make(Gp, "macro", seed=seed % 4) for seed in range(8)]
    for strategy in strategies:
        run(strategy, 20)
    spread = [apart([strategy.ask() for _ in range(8)]) for strategy in strategies[:4]]
    monkeypatch.setattr(View, "of", lambda learner, pending: View(*learner.posterior(), learner.sign))
    crowded = [apart([strategy.ask() for _ in range(8)]) for strategy in strategies[4:]]
    assert np.mean(spread) > 1.2 * np.mean(crowded)


def test_an_exact_goal_gives_a_front_along_it() -> None:
    strategy = make(Gp, goals=["f1", "macs"])
    run(strategy, 40)
    chance = make(RandomSearch, goals=["f1", "macs"])
    run(chance, 40)
    front = strategy.objectives.front([*strategy.trials, *chance.trials])
    own = {trial.choices for trial in strategy.trials}
    assert sum(trial.choices in own for trial in front) > 0.8 * len(front)
    macs = [
        trial.metrics["macs"] for trial in strategy.objectives.front(strategy.trials) if trial.metrics
    ]
    assert max(macs) > 2 * min(macs)


def test_goals_in_closed_form_alone_need_no_process() -> None:
    strategy = make(Gp, goals=["macs"])
    asked = run(strategy, 12)
    assert min(cost(proposal.architecture, 10).macs for proposal in asked) == min(
        cost(strategy.space.decode(point), 10).macs for point in strategy.space.points()
    )


def test_a_limit_on_a_learned_metric_is_learned() -> None:
    """The cheapest network that reaches a score: far cheaper than what random search finds."""
    score = np.quantile([additive(point) for point in nas.spaces.load("macro")().points()], 0.9)
    limit = f"f1>={score:.3f}"
    cheapest = []
    for kind in (Gp, RandomSearch):
        strategy = make(kind, goals=["macs"], limits=[limit])
        run(strategy, 40)
        best = strategy.objectives.best(strategy.trials)
        assert best is not None
        assert best.metrics is not None
        cheapest.append(best.metrics["macs"])
    assert cheapest[0] < 0.8 * cheapest[1]


def test_startup_is_checked() -> None:
    with pytest.raises(UserError, match="startup must be a whole number"):
        Gp(nas.spaces.load("toy")(), Objectives.parse(["f1"]), num_classes=10, startup=0)
