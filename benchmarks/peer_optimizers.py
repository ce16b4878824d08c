"""Optimizers of other libraries behind one interface: ask for a network, tell its metrics.

Optuna's samplers get one categorical parameter per decision, and limits as Optuna's constraints. NNI,
SMAC3 and Syne Tune are told nothing of limits: they follow the first goal, and hear 0 for a network
beyond a limit. All run with their defaults; SMAC3 is told that evaluations are deterministic, so that it
repeats none of its own accord.
"""

from __future__ import annotations

import importlib
import logging
import tempfile
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import optuna

from nas.objectives import Objectives
from nas.spaces import SearchSpace
from nas.strategies.nni_evolution import Tuner

POPULATION = 32  # NNI's default


class Peer(Protocol):
    """Asks for one network at a time."""

    def ask(self) -> Sequence[int]:
        """Return a point of the space, one option index per decision."""
        ...

    def tell(self, metrics: Mapping[str, float]) -> None:
        """Report the outcome of the last point."""
        ...


class OptunaPeer:
    """A study with one sampler and its defaults."""

    def __init__(
        self,
        space: SearchSpace,
        objectives: Objectives,
        seed: int,
        sampler: Callable[..., optuna.samplers.BaseSampler],
    ) -> None:
        self._space, self._objectives = space, objectives
        self._study = optuna.create_study(
            directions=["maximize" if goal.maximize else "minimize" for goal in objectives.goals],
            sampler=sampler(seed=seed),
        )

    def ask(self) -> Sequence[int]:
        """Return one categorical suggestion per decision."""
        self._trial = self._study.ask()
        return [
            self._trial.suggest_categorical(decision.name, list(range(len(decision.options))))
            for decision in self._space.decisions
        ]

    def tell(self, metrics: Mapping[str, float]) -> None:
        """Report the values, and as constraints the excess over each limit."""
        for limit in self._objectives.limits:
            excess = metrics[limit.metric] - limit.value
            self._trial.set_constraint(str(limit), excess if limit.upper else -excess)
        self._study.tell(self._trial, list(self._objectives.values(metrics)))


class NniPeer:
    """NNI's evolution tuner, seeded and kept from printing."""

    def __init__(self, space: SearchSpace, objectives: Objectives, seed: int) -> None:
        self._objectives = objectives
        self._tuner = Tuner(space, POPULATION, np.random.default_rng(seed))

    def ask(self) -> Sequence[int]:
        """Return the tuner's next point."""
        return self._tuner.generate()

    def tell(self, metrics: Mapping[str, float]) -> None:
        """Report the first goal, 0 beyond a limit."""
        self._tuner.answer(score(self._objectives, metrics))


class SmacPeer:
    """SMAC3's facade for hyperparameters: a random forest and expected improvement."""

    def __init__(self, space: SearchSpace, objectives: Objectives, seed: int) -> None:
        from ConfigSpace import CategoricalHyperparameter, ConfigurationSpace
        from smac import HyperparameterOptimizationFacade, Scenario

        logging.getLogger("smac").setLevel(logging.ERROR)  # it warns whenever its search repeats itself
        self._space, self._objectives = space, objectives
        configurations = ConfigurationSpace(seed=seed)
        configurations.add(
            [CategoricalHyperparameter(d.name, list(range(len(d.options)))) for d in space.decisions]
        )
        self._folder = tempfile.TemporaryDirectory()
        scenario = Scenario(
            configurations,
            n_trials=100,
            deterministic=True,
            seed=seed,
            output_directory=self._folder.name,
        )
        self._smac = HyperparameterOptimizationFacade(
            scenario, lambda config, seed=0: 0.0, logging_level=False, overwrite=True
        )

    def ask(self) -> Sequence[int]:
        """Return the configuration of the next trial."""
        self._trial = self._smac.ask()
        return [int(self._trial.config[decision.name]) for decision in self._space.decisions]

    def tell(self, metrics: Mapping[str, float]) -> None:
        """Report the cost: the negative first goal, 0 beyond a limit."""
        from smac.runhistory.dataclasses import TrialValue

        self._smac.tell(self._trial, TrialValue(cost=-score(self._objectives, metrics)))


class SyneTunePeer:
    """A baseline of Syne Tune."""

    def __init__(
        self, space: SearchSpace, objectives: Objectives, seed: int, baseline: Callable[..., Any]
    ) -> None:
        from syne_tune.config_space import choice
        from syne_tune.optimizer.schedulers.ask_tell_scheduler import AskTellScheduler

        self._space, self._objectives = space, objectives
        options = {d.name: choice(list(range(len(d.options)))) for d in space.decisions}
        self._scheduler = AskTellScheduler(
            baseline(options, metric="score", do_minimize=False, random_seed=seed)
        )

    def ask(self) -> Sequence[int]:
        """Return the configuration of the next trial."""
        self._trial = self._scheduler.ask()
        return [int(self._trial.config[decision.name]) for decision in self._space.decisions]

    def tell(self, metrics: Mapping[str, float]) -> None:
        """Report the first goal, 0 beyond a limit."""
        self._scheduler.tell(self._trial, {"score": score(self._objectives, metrics)})


def score(objectives: Objectives, metrics: Mapping[str, float]) -> float:
    """Return the first goal where higher is better, 0 beyond a limit."""
    return -objectives.losses(metrics)[0] if objectives.violation(metrics) == 0 else 0.0


def make_peer(name: str, space: SearchSpace, objectives: Objectives, seed: int) -> Peer:
    """Return a new optimizer.

    Args:
        name: ``library:CLASS``, or ``optunahub:PACKAGE`` of samplers.
        space: of the networks.
        objectives: goals and limits.
        seed: of the optimizer, below 2^31.

    Raises:
        ImportError: the library is not installed.
    """
    library, _, member = name.partition(":")
    if library == "nni":
        return NniPeer(space, objectives, seed)
    if library == "smac":
        return SmacPeer(space, objectives, seed)
    if library == "syne-tune":
        baselines = importlib.import_module("syne_tune.optimizer.baselines")
        return SyneTunePeer(space, objectives, seed, getattr(baselines, member))
    if library == "optunahub":
        module = importlib.import_module("optunahub").load_module(f"samplers/{member}")
        return OptunaPeer(space, objectives, seed, getattr(module, module.__all__[0]))
    package = "optuna_integration" if library == "optuna-integration" else "optuna.samplers"
    return OptunaPeer(space, objectives, seed, getattr(importlib.import_module(package), member))
