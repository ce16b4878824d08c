"""The study that an Optuna sampler sees: finished trials, running ones, and its own attributes."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.trial import FrozenTrial, TrialState

from nas import pareto

_NAME = "study"
_BEST = 25  # trials that TPE takes as good; it takes no more
_WORST = 1e6  # relative violation that stands for an infinite one, as of a metric that is not a number


class Options(CategoricalDistribution):
    """Categorical distribution over option indices, without Optuna's slow look-up."""

    to_internal_repr = staticmethod(int)  # type: ignore[assignment]  # called for every choice of every trial

    def to_external_repr(self, param_value_in_internal_repr: float) -> int:
        """Return the index."""
        return int(param_value_in_internal_repr)


@dataclass
class History:
    """Finished trials in order, and the sampler's own attributes.

    Attributes:
        directions: ``"minimize"`` or ``"maximize"``, one per goal.
        distributions: of every decision, by name.
        trials: completed ones, numbered from 0.
        attributes: the sampler's own, of the study.
    """

    directions: list[Literal["minimize", "maximize"]]
    distributions: dict[str, BaseDistribution]
    trials: list[FrozenTrial] = field(default_factory=list)
    attributes: dict[str, Any] = field(default_factory=dict)
    _violations: list[float] = field(default_factory=list)

    def add(
        self,
        choices: Sequence[int],
        values: Sequence[float],
        violation: float,
        attributes: Mapping[str, Any],
    ) -> None:
        """Append a completed trial.

        Args:
            choices: option indices.
            values: one per goal.
            violation: of the limits, 0 where they hold; samplers see limits once one was violated.
            attributes: what the sampler wrote when it was asked for this trial.
        """
        trial = self._trial(len(self.trials), choices, values)
        trial.system_attrs = dict(attributes)
        unheard = not any(self._violations)
        self.trials.append(trial)
        self._violations.append(min(violation, _WORST))
        if violation > 0 or not unheard:
            for place in range(0 if unheard else len(self.trials) - 1, len(self.trials)):
                self._constrain(place)

    def scratch(self, running: Sequence[Sequence[int]], capacity: int | None = None) -> Scratch:
        """Return a temporary study of this history that a sampler may write to.

        Args:
            running: points that are being trained.
            capacity: about how many trials the sampler sees, of a longer history.
        """
        start = len(self.trials)
        waiting = [self._trial(start + i, choices, None) for i, choices in enumerate(running)]
        return Scratch(self, [*self._thinned(capacity), *waiting], number=start + len(waiting))

    def relative(self, sampler: optuna.samplers.BaseSampler) -> dict[str, BaseDistribution]:
        """Return the decisions that ``sampler`` samples together, inferred from the completed trials.

        All have the same decisions, so one is enough to infer from, and takes no time.
        """
        one = Scratch(self, self.trials[:1], number=1)
        return sampler.infer_relative_search_space(one.study, one.asking)

    def _thinned(self, capacity: int | None) -> list[FrozenTrial]:
        """Return the best fronts that hold :data:`_BEST` trials, and an even choice of the rest."""
        if capacity is None or len(self.trials) <= capacity:
            return self.trials
        signs = [1.0 if direction == "minimize" else -1.0 for direction in self.directions]
        losses = np.array([trial.values for trial in self.trials]) * signs
        ranks = pareto.ranks(losses, self._violations, least=_BEST)
        last = np.sort(ranks)[_BEST - 1]
        best, rest = np.flatnonzero(ranks <= last), np.flatnonzero(ranks > last)
        room = min(max(capacity - len(best), capacity // 2), len(rest))
        places = np.linspace(0, len(rest) - 1, room).round().astype(int)
        return [self.trials[index] for index in np.sort([*best, *rest[places]])]

    def _trial(self, number: int, choices: Sequence[int], values: Sequence[float] | None) -> FrozenTrial:
        return _frozen(
            number,
            params=dict(zip(self.distributions, choices, strict=True)),
            distributions=self.distributions,
            values=values,
        )

    def _constrain(self, place: int) -> None:
        constraints = {"limits": self._violations[place]}
        template = optuna.trial.create_trial(state=TrialState.FAIL, constraints=constraints)
        self.trials[place].system_attrs.update(template.system_attrs)


class Scratch(optuna.storages.InMemoryStorage):
    """A temporary study of a history and one more trial, :attr:`asking`; a sampler may write to it."""

    def __init__(self, history: History, trials: list[FrozenTrial], number: int) -> None:
        super().__init__()
        self._history, self._known, self._number = history, trials, number
        self.study = optuna.create_study(storage=self, study_name=_NAME, directions=history.directions)
        self._id = self.get_study_id_from_name(_NAME)
        for key, value in history.attributes.items():
            self.set_study_system_attr(self._id, key, value)
        self.asking = _frozen(number)

    @property
    def attributes(self) -> dict[str, Any]:
        """Attributes of the study."""
        return dict(self.get_study_system_attrs(self._id))

    def draw(self, sampler: optuna.samplers.BaseSampler) -> list[int]:
        """Draw a point from ``sampler``, decision by decision as an Optuna trial suggests them.

        A further draw is of the same trial; it knows what earlier draws wrote on the study.
        """
        self.asking = asking = _frozen(self._number)
        sampler.before_trial(self.study, asking)
        together = sampler.sample_relative(self.study, asking, self._history.relative(sampler))
        for name, distribution in self._history.distributions.items():
            value = (
                together[name]
                if name in together
                else sampler.sample_independent(self.study, asking, name, distribution)
            )
            asking.params = {**asking.params, name: value}
            asking.distributions = {**asking.distributions, name: distribution}
        return [int(asking.params[name]) for name in self._history.distributions]

    def get_all_trials(
        self, study_id: int, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        """Return the history and the trial asked for; not copied, since samplers do not change them."""
        trials = [*self._known, self.asking]
        return [trial for trial in trials if states is None or trial.state in states]

    def get_trial(self, trial_id: int) -> FrozenTrial:
        """Return a trial by its number."""
        if trial_id == self._number:
            return self.asking
        return self._known[bisect_left(self._known, trial_id, key=lambda trial: trial.number)]

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        """Write an attribute on the trial that is asked for."""
        self.get_trial(trial_id).system_attrs[key] = value


def _frozen(
    number: int,
    params: dict[str, Any] | None = None,
    distributions: dict[str, BaseDistribution] | None = None,
    values: Sequence[float] | None = None,
) -> FrozenTrial:
    """Return a trial that completed with ``values``, or is running without."""
    return FrozenTrial(
        number=number,
        state=TrialState.RUNNING if values is None else TrialState.COMPLETE,
        value=None,
        values=values,
        datetime_start=None,
        datetime_complete=None,
        params=params or {},
        distributions=distributions or {},
        user_attrs={},
        system_attrs={},
        intermediate_values={},
        trial_id=number,
    )
