"""Optuna's tree-structured Parzen estimator."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from nas.architecture import Architecture
from nas.errors import UserError
from nas.objectives import Objectives
from nas.spaces.base import SearchSpace
from nas.strategies.base import Strategy, whole_number
from nas.trial import Trial

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial, TrialState


class Tpe(Strategy):
    """Optuna's TPESampler: Parzen estimators of good and bad points (Bergstra et al. 2011).

    Takes several objectives. The sampler only ever sees the told trials, through an in-memory study,
    and is seeded afresh for every proposal.

    Args:
        startup: trials drawn at random first.
        multivariate: model decisions jointly (``None``: Optuna's default).
    """

    def __init__(
        self,
        space: SearchSpace,
        objectives: Objectives,
        *,
        seed: int = 0,
        num_classes: int,
        probes: Mapping[str, Callable[[Architecture], float]] | None = None,
        startup: int = 10,
        multivariate: bool | None = None,
    ) -> None:
        super().__init__(space, objectives, seed=seed, num_classes=num_classes, probes=probes)
        import optuna

        if not isinstance(multivariate, bool | None):
            raise UserError(f"strategy 'tpe': multivariate is true or false, got {multivariate!r}")
        self._startup = whole_number("tpe", "startup", startup, minimum=0)
        self._multivariate = multivariate
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._storage = optuna.storages.InMemoryStorage()
        self._study = optuna.create_study(
            storage=self._storage,
            study_name="tpe",
            directions=["maximize" if goal.maximize else "minimize" for goal in objectives.goals],
        )
        self._distributions: dict[str, optuna.distributions.BaseDistribution] = {
            decision.name: optuna.distributions.CategoricalDistribution(range(len(decision.options)))
            for decision in space.decisions
        }
        number = self._study.ask().number
        self._asking = self._study.trials[number]
        self._running: dict[int, int] = {}  # trial number -> number in the in-memory study

    def propose(self, rng: np.random.Generator) -> Sequence[int]:
        """Sample every decision from a freshly seeded TPESampler."""
        import optuna

        for number, proposal in self.pending.items():
            if number not in self._running:  # counted as bad by the sampler's constant liar
                self._running[number] = len(self._study.trials)
                self._study.add_trial(
                    self._trial(proposal.choices, optuna.trial.TrialState.RUNNING, None)
                )
        sampler = optuna.samplers.TPESampler(
            seed=int(rng.integers(2**31)),
            n_startup_trials=self._startup,
            multivariate=self._multivariate,
        )
        # A study object caches its trials until its next ask, so every proposal opens a new one; the
        # public sampling methods on one trial kept for the purpose let refusals leave no trace.
        study = optuna.load_study(study_name="tpe", storage=self._storage)
        relative = sampler.infer_relative_search_space(study, self._asking)
        params = dict(sampler.sample_relative(study, self._asking, relative))
        for name, distribution in self._distributions.items():
            if name not in params:
                params[name] = sampler.sample_independent(study, self._asking, name, distribution)
        return [int(params[decision.name]) for decision in self.space.decisions]

    def observe(self, trial: Trial) -> None:
        """Add a completed trial to the in-memory study."""
        import optuna

        values = None if trial.metrics is None else list(self.objectives.values(trial.metrics))
        state = optuna.trial.TrialState.FAIL if values is None else None
        if trial.number in self._running:
            self._study.tell(self._running.pop(trial.number), values, state)
        elif values is not None:
            complete = optuna.trial.TrialState.COMPLETE
            self._study.add_trial(self._trial(trial.choices, complete, values))

    def _trial(
        self, choices: Sequence[int], state: TrialState, values: list[float] | None
    ) -> FrozenTrial:
        import optuna

        names = [decision.name for decision in self.space.decisions]
        return optuna.trial.create_trial(
            state=state,
            params=dict(zip(names, choices, strict=True)),
            distributions=self._distributions,
            values=values,
        )
