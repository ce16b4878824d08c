"""Any Optuna sampler as a strategy, by name: ``optuna:nsgaii``."""

from __future__ import annotations

import difflib
import inspect
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, ClassVar, cast

import numpy as np

from core.errors import UserError, one_line
from nas.architecture import Architecture
from nas.objectives import Objectives
from nas.spaces.base import SearchSpace
from nas.strategies.base import PATIENCE, Strategy, training_seed
from nas.trial import Trial

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.samplers import BaseSampler

    from nas.strategies.optuna_history import History

_PLAIN = {"bool": bool, "int": int, "float": (int, float), "str": str, "None": type(None)}
_HIDDEN = ("seed", "with_margin")  # ours; and one that keeps a continuous point beside the trained one
_SEQUENCES = ("QMCSampler",)  # walk along one sequence, refused points included
_STATELESS = ("TPESampler", "GPSampler", "RandomSampler", "BruteForceSampler")
_NUMERIC = ("CmaEsSampler",)  # know no categories; an option is its index
HUB = "OptunaHub"  # for every sampler of the hub: unknown, so taken to keep state and to be slow
# In one ask, of slow samplers; then around what was drawn.
_DRAWS = {"GPSampler": 1, "TPESampler": 3, HUB: 3}
_REHEARSED = 12  # trials, more than samplers draw at random before they begin
_PACKAGES = {"CmaEsSampler": "cmaes"}  # that Optuna leaves to its users


class OptunaSampler(Strategy):
    """An Optuna sampler behind the strategy contract; :func:`strategy_of` makes one by name.

    The sampler sees the told trials, those being trained, and how far trials violate the limits, and
    is made afresh for every proposal. What it keeps in a study between trials (generations, the state
    of CMA-ES, the place in a sequence) is written when a trial is told, by asking for that trial again
    with the same generator, so telling a study's trials again restores it. A told trial that the
    sampler would not have proposed takes the place of what it would have.

    Args:
        options: of the sampler, by Optuna's names.

    Raises:
        UserError: the sampler has no such option, refuses a value or several goals, or its package is
            missing.
    """

    strategy: ClassVar[str]  #: how users call it
    sampler: ClassVar[str]  #: name of the class in ``optuna.samplers``, or :data:`HUB`
    capacity: ClassVar[int | None] = None  #: trials that the sampler sees, of a longer history

    def __init__(
        self,
        space: SearchSpace,
        objectives: Objectives,
        *,
        seed: int = 0,
        num_classes: int,
        probes: Mapping[str, Callable[[Architecture], float]] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(space, objectives, seed=seed, num_classes=num_classes, probes=probes)
        import optuna

        from nas.strategies.optuna_history import History

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        _check(self.strategy, self.sampler, sampler_options(self.source()), options)
        self._options = options
        self._history = History(
            directions=["maximize" if goal.maximize else "minimize" for goal in objectives.goals],
            distributions={d.name: self._distribution(len(d.options)) for d in space.decisions},
        )
        self._scratch = self._history.scratch([])
        try:
            self._scratch.draw(self._made(np.random.default_rng(0)))
            # Some ask for their options once there are trials.
            if self.sampler == HUB or (options and self.sampler in _STATELESS):
                self._rehearsed().scratch([]).draw(self._made(np.random.default_rng(0)))
        except (TypeError, ValueError) as error:
            raise UserError(f"strategy '{self.strategy}': {one_line(error)}") from None

    def propose(self, rng: np.random.Generator) -> Sequence[int]:
        """Draw from a fresh sampler; what it writes is forgotten when the next trial is asked for.

        Where a sampler is slow and inclined to repeat itself, later attempts mutate what it drew.
        """
        if not self.refused:
            running = [proposal.choices for proposal in self.pending.values()]
            self._scratch = self._history.scratch(running, self.capacity)
        draws = _DRAWS.get(self.sampler)
        if draws is None or len(self.refused) < draws:
            return self._scratch.draw(self._made(rng))
        drawn = self.refused[int(rng.integers(draws))].choices
        return self.further(drawn, len(self.refused) - draws, rng)

    def observe(self, trial: Trial) -> None:
        """Add a completed trial, with what the sampler keeps of it; samplers ignore failed ones."""
        if trial.metrics is None:
            return
        kept: dict[str, Any] = {}
        if self.sampler not in _STATELESS:
            kept, self._history.attributes = self._follow(trial)
        values = self.objectives.values(trial.metrics)
        self._history.add(trial.choices, values, self.violation(trial), kept)

    def _follow(self, trial: Trial) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return what the sampler writes on trial and study when it is asked for ``trial`` again."""
        rng = np.random.default_rng([self.seed, trial.number])
        scratch = self._history.scratch([])
        written: list[tuple[dict[str, Any], dict[str, Any]]] = []
        proposed_here = trial.proposal.seed == training_seed(self.seed, trial.number)
        for _ in range(PATIENCE if proposed_here and self.sampler in _SEQUENCES else 1):
            drawn = self.space.canonical(scratch.draw(self._made(rng)))
            written.append((dict(scratch.asking.system_attrs), scratch.attributes))
            if drawn == trial.choices:
                return written[-1]
        return written[0]

    def _rehearsed(self) -> History:
        """Return a history of made-up trials."""
        history = replace(self._history, trials=[], attributes={}, _violations=[])  # of the same space
        rng = np.random.default_rng(0)
        for _ in range(_REHEARSED):
            choices = [int(rng.integers(len(decision.options))) for decision in self.space.decisions]
            history.add(choices, rng.random(len(history.directions)).tolist(), 0.0, {})
        return history

    @classmethod
    def source(cls) -> type[BaseSampler]:
        """Return the class whose options the strategy has."""
        import optuna

        return cast("type[BaseSampler]", getattr(optuna.samplers, cls.sampler))

    def sampler_class(self) -> Callable[..., BaseSampler]:
        """Return the class of the sampler, which takes its options by name."""
        return self.source()

    def _made(self, rng: np.random.Generator) -> BaseSampler:
        import optuna

        seed = int(rng.integers(2**31))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            return self.sampler_class()(
                seed=self.seed if self.sampler in _SEQUENCES else seed, **self._options
            )

    def _distribution(self, options: int) -> BaseDistribution:
        from optuna.distributions import IntDistribution

        from nas.strategies.optuna_history import Options

        return IntDistribution(0, options - 1) if self.sampler in _NUMERIC else Options(range(options))


def strategy_of(name: str) -> type[OptunaSampler]:
    """Any Optuna sampler: optuna:nsgaii, optuna:gp, optuna:cmaes, optuna:qmc, optuna:auto and the others.

    Args:
        name: of a class in ``optuna.samplers``, with or without "Sampler", in any case; ``auto`` is
            OptunaHub's AutoSampler where Optuna has none.

    Raises:
        UserError: there is none of that name; lists those there are.
    """
    samplers = _known()
    if name == "auto" and name not in samplers:
        from nas.strategies.hub_sampler import auto_sampler

        return auto_sampler()
    short = name.lower().replace("-", "").removesuffix("sampler")
    if short not in samplers:
        close = difflib.get_close_matches(short, samplers, n=1)
        hint = f"; did you mean 'optuna:{close[0]}'?" if close else ";"
        raise UserError(
            f"unknown Optuna sampler {name!r}{hint} known: {', '.join(sorted({*samplers, 'auto'}))}"
        )
    return _class_of(short, samplers[short])


@cache
def _class_of(short: str, sampler: str) -> type[OptunaSampler]:
    import optuna

    attributes = {
        "__doc__": f"Optuna's {sampler}.",
        "__module__": __name__,
        "__signature__": signature_of(getattr(optuna.samplers, sampler)),
        "strategy": f"optuna:{short}",
        "sampler": sampler,
    }
    return type(f"Optuna{sampler}", (OptunaSampler,), attributes)


def _known() -> dict[str, str]:
    """Return short name to class name, for every sampler that can be made without arguments."""
    import optuna

    samplers = {}
    for name in sorted(optuna.samplers.__all__):
        sampler = getattr(optuna.samplers, name)
        if not inspect.isclass(sampler) or inspect.isabstract(sampler):
            continue
        parameters = inspect.signature(sampler).parameters.values()
        if all(parameter.default is not parameter.empty for parameter in parameters):
            samplers[name.lower().removesuffix("sampler")] = name
    return samplers


def signature_of(sampler: type[BaseSampler]) -> inspect.Signature:
    """Return the constructor's signature of a strategy with the options of ``sampler``."""
    given = list(inspect.signature(OptunaSampler).parameters.values())[:-1]
    return inspect.Signature([*given, *sampler_options(sampler).values()])


def sampler_options(sampler: type[BaseSampler]) -> dict[str, inspect.Parameter]:
    """Return the sampler's options that are switches, numbers or words."""
    parameters = inspect.signature(sampler).parameters
    return {
        name: parameter.replace(kind=parameter.KEYWORD_ONLY)
        for name, parameter in parameters.items()
        if name not in _HIDDEN and not name.startswith("warn_") and _kinds(parameter) is not None
    }


def _kinds(parameter: inspect.Parameter) -> list[str] | None:
    annotation = parameter.annotation
    text = annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)
    kinds = text.split(" | ")
    return kinds if all(kind in _PLAIN for kind in kinds) else None


def _check(
    strategy: str, sampler: str, known: Mapping[str, inspect.Parameter], options: Mapping[str, Any]
) -> None:
    """Refuse what the sampler does not know before it says so in its own words."""
    for name, value in options.items():
        if name not in known:
            names = ", ".join(known) or "none"
            raise UserError(f"strategy '{strategy}' has no option {name!r}; it has: {names}")
        kinds = _kinds(known[name]) or []
        fits = any(isinstance(value, _PLAIN[kind]) for kind in kinds)  # type: ignore[arg-type]
        if not fits or (isinstance(value, bool) and "bool" not in kinds):
            raise UserError(f"strategy '{strategy}': {name} must be {' or '.join(kinds)}, got {value!r}")
    package = _PACKAGES.get(sampler)
    if package is not None and find_spec(package) is None:
        raise UserError(
            f"strategy '{strategy}' needs the package {package!r}; pip install 'minnow[{package}]'"
        )
