"""Optuna's samplers by name: options, errors, what they keep, and what they are told."""

from __future__ import annotations

import importlib.util
import inspect
from collections.abc import Callable

import numpy as np
import pytest

import nas.spaces
import nas.strategies
from core.errors import UserError
from nas import pareto
from nas.objectives import Objectives
from nas.spaces.macro import Macro
from nas.strategies import optuna_sampler
from nas.strategies.optuna_sampler import OptunaSampler
from nas.strategies.testing import STRATEGY_CHECKS
from nas.strategies.testing.strategy_case import case_of, made_up_metrics, run_trials
from nas.trial import Proposal


def make(name: str, goals: tuple[str, ...] = ("f1",), **options: object) -> OptunaSampler:
    kind = nas.strategies.load(name)
    strategy = kind(Macro(), Objectives.parse(goals), num_classes=10, **options)
    assert isinstance(strategy, OptunaSampler)
    return strategy


@pytest.mark.parametrize(
    "name", ["optuna:nsgaii", "optuna:NSGAIISampler", "optuna:NsgaII", "optuna:nsga-ii"]
)
def test_names(name: str) -> None:
    assert nas.strategies.load(name) is nas.strategies.load("optuna:nsgaii")


@pytest.mark.parametrize("name", ["bruteforce", "gp", "nsgaiii", "random", "tpe"])
@pytest.mark.parametrize("check", ["interrupted", "resume at every cut, to exhaustion", "failures"])
def test_the_other_samplers(name: str, check: str) -> None:
    options = {"n_startup_trials": 18} if name == "gp" else {}
    STRATEGY_CHECKS[check](f"optuna:{name}", **options)


@pytest.mark.parametrize("options", [{"qmc_type": "halton"}, {"scramble": True}])
def test_options_of_sequences(options: dict[str, object]) -> None:
    STRATEGY_CHECKS["resume at every cut, within limits"]("optuna:qmc", **options)


def test_options_are_the_samplers() -> None:
    parameters = inspect.signature(nas.strategies.load("optuna:nsgaii")).parameters
    assert parameters["population_size"].default == 50
    assert not {"seed", "mutation", "constraints_func", "options"} & (set(parameters) - {"seed"})
    assert make("optuna:nsgaii", population_size=20)._options == {"population_size": 20}


@pytest.mark.parametrize(
    ("name", "options", "complaint"),
    [
        (
            "optuna:nsga",
            {},
            r"unknown Optuna sampler 'nsga'; did you mean .* known: auto, bruteforce, cmaes, gp",
        ),
        ("optuna:", {}, "unknown Optuna sampler ''; known: "),
        ("optuna:grid", {}, "unknown Optuna sampler 'grid'"),
        ("optuna:gp", {"population_size": 2}, "no option 'population_size'; it has: n_startup_trials"),
        ("optuna:nsgaii", {"population_size": "x"}, "population_size must be int, got 'x'"),
        ("optuna:nsgaii", {"population_size": True}, "population_size must be int, got True"),
        ("optuna:nsgaii", {"population_size": 1}, "'optuna:nsgaii': .*greater than or equal to 2"),
        ("optuna:nsgaii", {"mutation_prob": 7.0}, "'optuna:nsgaii': .*mutation_prob"),
        ("optuna:qmc", {"qmc_type": "x"}, "'optuna:qmc': .*halton"),
        ("tpe", {"startup": -1}, "'tpe': startup must be a whole number"),
        ("tpe", {"multivariate": 1}, "'tpe': multivariate is true or false"),
    ],
)
def test_errors(name: str, options: dict[str, object], complaint: str) -> None:
    with pytest.raises(UserError, match=complaint) as error:
        make(name, **options)
    assert "\n" not in str(error.value)


def test_a_sampler_for_one_objective_refuses_two() -> None:
    with pytest.raises(UserError, match=r"'optuna:cmaes': .*multi-objective"):
        make("optuna:cmaes", ("f1", "macs"))


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(optuna_sampler, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"needs the package 'cmaes'; pip install 'minnow\[cmaes\]'"):
        make("optuna:cmaes")


def test_generations_are_rebuilt_from_told_trials() -> None:
    strategy = make("optuna:nsgaii", population_size=4)
    run_trials(strategy, 13, lambda proposal: proposal.complete(made_up_metrics(proposal)))
    generations = [t.system_attrs["NSGAIISampler:generation"] for t in strategy._history.trials]
    assert generations == [0] * 4 + [1] * 4 + [2] * 4 + [3]


@pytest.mark.skipif(importlib.util.find_spec("cmaes") is None, reason="cmaes is not installed")
def test_cma_es_learns_from_told_trials() -> None:
    """The mean of its proposals moves towards the best point, the last option of everything."""
    strategy = make("optuna:cmaes", seed=1)
    asked = run_trials(strategy, 120, lambda proposal: proposal.complete(made_up_metrics(proposal)))
    sums = [sum(trial.choices) for trial in asked]
    assert np.mean(sums[-30:]) > np.mean(sums[:30]) + 1
    assert any("cma:optimizer:0" in trial.system_attrs for trial in strategy._history.trials)


def test_a_sequence_goes_on_where_it_was() -> None:
    """Every point of the unscrambled Sobol' sequence is drawn once, refused ones too."""
    strategy = make("optuna:qmc")
    run_trials(strategy, 40, lambda proposal: proposal.complete(made_up_metrics(proposal)))
    (place,) = strategy._history.attributes.values()
    assert place >= 38


def feed(strategy: OptunaSampler, seconds: Callable[[int], float]) -> None:
    for number, point in enumerate(list(strategy.space.points())[:20]):
        proposal = Proposal(number, point, strategy.space.decode(point), number)
        strategy.tell(proposal.complete({"f1": 0.5, "train_seconds": seconds(number)}))


def test_samplers_hear_of_limits_once_one_is_violated() -> None:
    kind = nas.strategies.load("tpe")
    objectives = Objectives.parse(["f1"], ["train_seconds<=10"])
    kept, late = (kind(Macro(), objectives, num_classes=10) for _ in range(2))
    feed(kept, lambda number: 5)
    feed(late, lambda number: 5 if number != 7 else 20)
    assert not any(trial.constraints for trial in kept._history.trials)
    expected = [{"limits": 1.0 if number == 7 else 0.0} for number in range(20)]
    assert [dict(trial.constraints) for trial in late._history.trials] == expected


def test_a_draw_leaves_no_trace() -> None:
    for name in ("tpe", "optuna:nsgaii", "optuna:cmaes", "optuna:qmc"):
        strategy = case_of(name, {}).make()
        run_trials(strategy, 20)
        attributes = dict(strategy._history.attributes)
        trials = [dict(trial.system_attrs) for trial in strategy._history.trials]
        strategy.ask()
        assert strategy._history.attributes == attributes
        assert [dict(trial.system_attrs) for trial in strategy._history.trials] == trials


@pytest.mark.parametrize("goals", [("f1",), ("f1", "macs")])
def test_of_a_long_history_a_sampler_sees_the_best_and_some_of_the_rest(goals: tuple[str, ...]) -> None:
    strategy, rng = make("tpe", goals), np.random.default_rng(0)
    points = list(strategy.space.points())
    for number, place in enumerate(rng.choice(len(points), 300, replace=False)):
        proposal = Proposal(number, points[place], strategy.space.decode(points[place]), number)
        strategy.tell(proposal.complete({**made_up_metrics(proposal), "f1": rng.random()}))
    trials = strategy._history.scratch([points[0]], 100).get_all_trials(0)
    numbers = [trial.number for trial in trials]
    assert numbers == sorted(set(numbers))
    assert (numbers[0], numbers[-2:]) == (0, [300, 301])  # evenly: the first too; then waiting and asked
    losses = [strategy.objectives.losses(trial.metrics or {}) for trial in strategy.trials]
    ranks = pareto.ranks(losses)
    assert {*np.flatnonzero(ranks <= np.sort(ranks)[24])} <= {*numbers}
    assert len(numbers) <= 102
    assert strategy._history.scratch([], 100).get_trial(numbers[50]).number == numbers[50]
