"""``tpe``: the proposals of Optuna's own sampler, in less time, and its constant liar."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.samplers._tpe.parzen_estimator import _ParzenEstimator, _ParzenEstimatorParameters

import nas.spaces
from nas.cost import cost
from nas.objectives import Objectives
from nas.strategies.categorical_tpe import CategoricalParzen
from nas.strategies.optuna_history import Options
from nas.strategies.tpe import Tpe
from nas.trial import Proposal, Trial

SPACE = {name: Options(range(count)) for name, count in [("a", 2), ("b", 4), ("c", 3), ("d", 1)]}


class OptunaTpe(Tpe):
    """The strategy with Optuna's own sampler."""

    def sampler_class(self) -> Callable[..., Any]:
        return optuna.samplers.TPESampler


def outcome(proposal: Proposal) -> Trial:
    total = cost(proposal.architecture, 10)
    f1 = float(np.sin(1.7 * sum(proposal.choices)) + proposal.choices[-1])
    return proposal.complete({"f1": f1, "params": total.params, "macs": total.macs})


@pytest.mark.parametrize("goals", [["f1:max"], ["f1:max", "macs:min"]])
@pytest.mark.parametrize("space", ["macro", "mobilenet"])
def test_proposes_what_optuna_does(space: str, goals: list[str]) -> None:
    """With eight workers, told out of order."""
    both = [
        kind(nas.spaces.load(space)(), Objectives.parse(goals), num_classes=10)
        for kind in (Tpe, OptunaTpe)
    ]
    running: list[list[Proposal]] = []
    for number in range(45):
        asked = [strategy.ask() for strategy in both]
        assert asked[0] == asked[1], f"trial {number}"
        running.append(asked)
        if len(running) == 8:
            for strategy, proposal in zip(both, running.pop(number % 8), strict=True):
                strategy.tell(outcome(proposal))


@pytest.mark.parametrize("count", [0, 1, 40])
@pytest.mark.parametrize("weighted", [False, True])
def test_densities_are_those_of_optuna(count: int, weighted: bool) -> None:
    rng = np.random.default_rng(count)

    def points(size: int) -> dict[str, np.ndarray]:
        return {
            name: rng.integers(len(each.choices), size=size).astype(float) for name, each in SPACE.items()
        }

    observations, asked = points(count), points(60)
    parameters = _ParzenEstimatorParameters(
        1.0, True, False, lambda n: np.linspace(0.1, 1, n) if n else np.empty(0), True
    )
    weights = np.ones(count) if weighted else None
    ours, theirs = (
        kind(observations, dict(SPACE), parameters, weights)
        for kind in (CategoricalParzen, _ParzenEstimator)
    )
    np.testing.assert_allclose(ours.log_pdf(asked), theirs.log_pdf(asked), rtol=1e-9)
    drawn, expected = (each.sample(np.random.RandomState(3), 50) for each in (ours, theirs))
    for name in SPACE:
        np.testing.assert_array_equal(drawn[name], expected[name])


def test_pending_trials_count_as_bad() -> None:
    """The constant liar: with five trials pending at a point, the sampler goes there less often."""
    space = nas.spaces.load("macro")()

    def shares(liar: bool) -> float:
        strategy = Tpe(space, Objectives.parse(["f1:max"]), num_classes=10)
        strategy._options["constant_liar"] = liar
        for _ in range(30):
            strategy.tell(outcome(strategy.ask()))
        best = max(strategy.trials, key=lambda trial: (trial.metrics or {})["f1"]).choices
        scratch = strategy._history.scratch([best] * 5)
        drawn = [scratch.draw(strategy._made(np.random.default_rng(seed))) for seed in range(100)]
        return float(np.mean([np.equal(point, best).mean() for point in drawn]))

    assert shares(liar=True) < shares(liar=False) - 0.1
