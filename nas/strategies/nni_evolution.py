"""NNI's evolution tuner, made reproducible and quiet."""

from __future__ import annotations

import contextlib
import copy
import io
import logging
import random
from collections.abc import Iterator, Sequence
from typing import Any, Unpack

import numpy as np

from core.errors import UserError, one_line
from nas.objectives import Objectives
from nas.spaces.base import SearchSpace
from nas.strategies.base import PATIENCE, Given, Strategy, whole_number
from nas.trial import Trial


class NniEvolution(Strategy):
    """NNI's EvolutionTuner: mutate the better of two, drop the worse (Real et al. 2017).

    The tuner has one objective, the first; a front is what it passes on the way. It repeats itself
    often: a repeat is answered with the known result, so its population moves on without training.

    Args:
        population: individuals that start at random; NNI's own 32 are most of a small budget.
    """

    def __init__(
        self,
        space: SearchSpace,
        objectives: Objectives,
        *,
        population: int = 16,
        **given: Unpack[Given],
    ) -> None:
        super().__init__(space, objectives, **given)
        population = whole_number("nni-evolution", "population", population, minimum=1)
        self._tuner = Tuner(space, population, np.random.default_rng([self.seed]))
        self._scratch = self._tuner
        self._results: dict[tuple[int, ...], Trial] = {}

    def propose(self, rng: np.random.Generator) -> Sequence[int]:
        """Take one step with a copy of the tuner; refusals are answered on the copy."""
        if not self.refused:
            self._scratch = copy.deepcopy(self._tuner)
            self._scratch.reseed(rng)
        else:
            self._scratch.answer(self._reward(self.refused[-1].trial))
        return self._scratch.generate()

    def observe(self, trial: Trial) -> None:
        """Repeat the ask of this trial on the tuner itself, then give it the result.

        A trial that the tuner would not have proposed takes the place of what it would have.
        """
        rng = np.random.default_rng([self.seed, trial.number])
        followed = copy.deepcopy(self._tuner)
        followed.reseed(rng)
        for _ in range(PATIENCE):
            choices = self.space.canonical(followed.generate())
            if choices == trial.choices:
                self._tuner = followed
                break
            followed.answer(self._reward(self._results.get(choices)))
        else:
            self._tuner.reseed(np.random.default_rng([self.seed, trial.number]))
            self._tuner.generate()
            self._tuner.replace(trial.choices)
        self._tuner.answer(self._reward(trial))
        self._results.setdefault(trial.choices, trial)

    def _reward(self, trial: Trial | None) -> float | None:
        if trial is None or trial.metrics is None:
            return None
        return -self.objectives.losses(trial.metrics)[0]


class Tuner:
    """An NNI EvolutionTuner with one question open at a time.

    The tuner draws from Python's global generator and from an unseeded one of its own, and logs and
    prints; both are contained here.
    """

    def __init__(self, space: SearchSpace, population: int, rng: np.random.Generator) -> None:
        self._names = [decision.name for decision in space.decisions]
        with _contained():
            try:
                from nni.algorithms.hpo.evolution_tuner import EvolutionTuner
            except Exception as error:  # its old ranges of versions may not go with other packages
                raise UserError(
                    f"the strategy nni-evolution cannot import NNI ({one_line(error)}); pip install "
                    "'nni>=3,<4' in an environment of its own, or use the strategy evolution"
                ) from None

            self._tuner: Any = EvolutionTuner(optimize_mode="maximize", population_size=population)
            self._tuner.update_search_space(
                {
                    decision.name: {"_type": "choice", "_value": list(range(len(decision.options)))}
                    for decision in space.decisions
                }
            )
            self.reseed(rng)
            self._tuner.population = []  # the first population was drawn without a seed
            for _ in range(population):
                self._tuner._random_generate_individual()
        self._question = 0

    def reseed(self, rng: np.random.Generator) -> None:
        """Make everything that follows depend on ``rng``."""
        self._tuner.random_state = np.random.RandomState(int(rng.integers(2**31)))
        self._random = random.Random(int(rng.integers(2**31))).getstate()

    def generate(self) -> tuple[int, ...]:
        """Return the tuner's next point."""
        self._question += 1
        with _contained(), self._seeded():
            params = self._tuner.generate_parameters(self._question)
        return tuple(int(params[name]) for name in self._names)

    def replace(self, choices: Sequence[int]) -> None:
        """Replace the point of the open question by ``choices``."""
        config = {
            name: {"_index": choice, "_value": choice}
            for name, choice in zip(self._names, choices, strict=True)
        }
        self._tuner.running_trials[self._question].config = config

    def answer(self, reward: float | None) -> None:
        """Report the result of the open question; ``None``: it failed."""
        with _contained(), self._seeded():
            if reward is None:
                self._tuner.trial_end(self._question, success=False)
            else:
                self._tuner.receive_trial_result(self._question, None, reward)

    @contextlib.contextmanager
    def _seeded(self) -> Iterator[None]:
        outside = random.getstate()
        random.setstate(self._random)
        try:
            yield
        finally:
            self._random = random.getstate()
            random.setstate(outside)


@contextlib.contextmanager
def _contained() -> Iterator[None]:
    """Keep NNI from printing and from changing the process's logging."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
        logger = logging.getLogger("nni")
        logger.handlers.clear()
        logger.addHandler(logging.NullHandler())
        logger.propagate = False
