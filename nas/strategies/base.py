"""The strategy contract: ask for a network to train, tell its outcome."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Required, TypedDict, final

import numpy as np

from core.errors import UserError
from nas.architecture import Architecture
from nas.cost import cost
from nas.objectives import MEMORY, Objectives
from nas.spaces.base import SearchSpace
from nas.strategies.feasible import Filter, check_limits, next_feasible
from nas.trial import Proposal, Trial

PATIENCE = 64  # refused proposals in a row before the space is searched for an acceptable one
_FAR = 8  # refusals after which a mutation goes one step further


class Given(TypedDict, total=False):
    """Keyword arguments that every strategy takes, besides its own options."""

    seed: int
    num_classes: Required[int]
    probes: Mapping[str, Callable[[Architecture], float]] | None


#: Constructor parameters of every strategy; the others are its own options.
COMMON_ARGUMENTS = ("space", "objectives", *Given.__annotations__)


class SpaceExhausted(Exception):
    """Signal that every network within the limits has been proposed."""


@dataclass(frozen=True)
class Refusal:
    """A proposed point that cannot be trained; ``trial`` is its result where it was trained before."""

    choices: tuple[int, ...]
    trial: Trial | None


def training_seed(study_seed: int, number: int) -> int:
    """Return the seed of the training of a study's proposal."""
    return int(np.random.SeedSequence([study_seed, number]).generate_state(1)[0])


class Strategy(ABC):
    """Base class of strategies: subclasses write :meth:`propose`, and :meth:`observe` if they learn.

    ``ask`` guarantees what no strategy needs to care about: a proposal is a new network, inside every
    limit that can be known before training. What a strategy proposes may depend only on the told
    trials and on the generator it is handed, so telling a study's trials again restores it exactly.

    Args:
        space: what to search.
        objectives: goals and limits.
        seed: of every random decision.
        num_classes: of the data; costs depend on it.
        probes: metric name to a function that measures it on an untrained network
            (``{"latency_ms": ...}``), for limits that params and MACs do not cover; those of flash_kb and
            ram_kb are closed forms, and called often.

    Raises:
        UserError: no network of the space meets the limits; names the cheapest.

    Example::

        strategy = RandomSearch(space, Objectives.parse(["f1:max"]), num_classes=10)
        proposal = strategy.ask()
        strategy.tell(proposal.complete({"f1": train(proposal.architecture)}))
    """

    def __init__(
        self,
        space: SearchSpace,
        objectives: Objectives,
        *,
        seed: int = 0,
        num_classes: int,
        probes: Mapping[str, Callable[[Architecture], float]] | None = None,
    ) -> None:
        self.space = space
        self.objectives = objectives
        self.seed = seed
        self.num_classes = num_classes
        self.trials: list[Trial] = []  # told, in the order they were told
        self.pending: dict[int, Proposal] = {}  # asked, not told
        self.refused: list[Refusal] = []  # what the current ask has turned down so far
        self._probes = dict(probes or {})
        of_target = [name for name in objectives.named if name in MEMORY]
        for name in of_target:
            if name not in self._probes:
                raise UserError(f"{name} depends on the target, and no probe of it is given")
        self._closed = {name: self._probes[name] for name in of_target}
        self._seen: dict[str, Trial | None] = {}  # architecture key -> its first result
        self._numbers: set[int] = set()
        self._next = 0
        check_limits(self._filter())

    @abstractmethod
    def propose(self, rng: np.random.Generator) -> Sequence[int]:
        """Return a point of the space, one option index per decision.

        Called again within the same ask, with ``self.refused`` grown by one, until a proposal is new
        and within the limits.

        Args:
            rng: the only source of randomness; seeded from the study's seed and the trial's number.
        """

    def observe(self, trial: Trial) -> None:  # noqa: B027  optional hook
        """Learn from a told trial; ``trial.metrics`` is ``None`` where it failed."""

    def measure(self, architecture: Architecture) -> dict[str, float]:
        """Return the metrics known before training: those in closed form, and probed limits.

        Other probes run only for networks that meet the limits on metrics in closed form.
        """
        metrics = self._costs(architecture)
        for limit in self.objectives.limits:
            name = limit.metric
            if name in self._probes and name not in metrics and not self.objectives.violation(metrics):
                metrics[name] = self._probes[name](architecture)
        return metrics

    def violation(self, trial: Trial) -> float:
        """Return a completed trial's relative violation of the limits, costs included; 0 within."""
        return self.objectives.violation({**self._costs(trial.architecture), **(trial.metrics or {})})

    def further(self, choices: Sequence[int], refusals: int, rng: np.random.Generator) -> Sequence[int]:
        """Return ``choices`` mutated, once more for every eight refusals: near points may be known."""
        for _ in range(1 + refusals // _FAR):
            choices = self.space.mutate(choices, rng)
        return choices

    @property
    def begun(self) -> int:
        """Finished plus running trials."""
        return len(self.trials) + len(self.pending)

    @final
    def ask(self, epochs: int | None = None) -> Proposal:
        """Return the next network to train.

        Args:
            epochs: for how long, where a caller decides that; results of other lengths are recorded,
                and not learned from (see :meth:`tell`).

        Returns:
            A network never proposed or told before, inside every limit known before training.

        Raises:
            SpaceExhausted: there is none left.
            ValueError: ``propose`` returned something that is not a point of the space.
        """
        number = self._next
        rng = np.random.default_rng([self.seed, number])
        self.refused = []
        point = self._accepted(rng)
        if point is None:
            fallback = next_feasible(self._filter(), rng, (trial.choices for trial in self.trials))
            if fallback is None:
                raise SpaceExhausted(
                    f"all networks of the space within the limits have been tried "
                    f"({len(self._seen)} so far); widen the limits or the space"
                )
            point = fallback
        architecture = self.space.decode(point)
        proposal = Proposal(number, point, architecture, training_seed(self.seed, number), epochs)
        self._take(proposal)
        return proposal

    @final
    def reserve(self, known: Proposal, *, epochs: int | None, parent: int | None = None) -> Proposal:
        """Propose another training of a known network, under the next number; for schedulers.

        Args:
            known: an earlier proposal of the network.
            epochs: how long, epochs of ``parent`` included.
            parent: number of the trial to continue, with its seed; ``None``: a training from scratch with
                a new seed.
        """
        number = self._next
        seed = training_seed(self.seed, number) if parent is None else known.seed
        proposal = replace(known, number=number, seed=seed, epochs=epochs, parent=parent)
        self._take(proposal)
        return proposal

    @final
    def tell(self, trial: Trial) -> None:
        """Record the outcome of a trial, proposed by this strategy or another.

        A completed trial without a finite value for every goal counts as failed. Networks are compared
        by trainings of one length, so :meth:`observe` sees a network's first training and of those
        that took as many epochs.

        Raises:
            ValueError: the number was told before, or was asked for with other choices.
        """
        number = trial.number
        asked = self.pending.get(number)
        if asked is None and number in self._numbers:
            raise ValueError(f"trial {number} was told before")
        trial = replace(trial, proposal=self._canonical(trial.proposal))
        if asked is not None and asked.choices != trial.choices:
            raise ValueError(f"trial {number} was asked for with other choices")
        if trial.metrics is not None:
            problem = self.objectives.problem(trial.metrics)
            trial = trial if problem is None else replace(trial, metrics=None, error=problem)
        self.pending.pop(number, None)
        self._numbers.add(number)
        self._next = max(self._next, number + 1)
        key = trial.architecture.key
        first = self._seen.get(key)
        if first is None or first.proposal.epochs == trial.proposal.epochs:
            self.observe(trial)
        self.trials.append(trial)
        if first is None:
            self._seen[key] = trial

    @final
    def resume(self, proposal: Proposal) -> None:
        """Resume a proposal that an interruption left unfinished.

        Raises:
            ValueError: its number is taken.
        """
        if proposal.number in self._numbers:
            raise ValueError(f"trial {proposal.number} is already known")
        self._take(self._canonical(proposal))

    def _take(self, proposal: Proposal) -> None:
        self.pending[proposal.number] = proposal
        self._numbers.add(proposal.number)
        self._seen.setdefault(proposal.architecture.key, None)
        self._next = max(self._next, proposal.number + 1)

    def _canonical(self, proposal: Proposal) -> Proposal:
        choices = self.space.canonical(self.space.validate(proposal.choices))
        return replace(proposal, choices=choices)

    def _accepted(self, rng: np.random.Generator) -> tuple[int, ...] | None:
        """Return the first acceptable proposal, ``None`` after too many refusals."""
        accepts = self._filter()
        for _ in range(PATIENCE):
            choices = self.space.canonical(self.space.validate(self.propose(rng)))
            if accepts(choices):
                return choices
            self.refused.append(Refusal(choices, self._seen.get(self.space.decode(choices).key)))
        return None

    def _costs(self, architecture: Architecture) -> dict[str, float]:
        total = cost(architecture, self.num_classes)
        of_target = {name: probe(architecture) for name, probe in self._closed.items()}
        return {"params": total.params, "macs": total.macs, **of_target}

    def _filter(self) -> Filter:
        return Filter(self.space, self.objectives, self._costs, self.measure, self._seen)


def whole_number(strategy: str, option: str, value: object, *, minimum: int) -> int:
    """Return an option's value, checked.

    Raises:
        UserError: no whole number of at least ``minimum``.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < minimum:
        raise UserError(
            f"strategy '{strategy}': {option} must be a whole number of at least {minimum}, got {value!r}"
        )
    return value
