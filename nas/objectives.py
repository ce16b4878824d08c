"""Objectives of a study: goals and limits, and the order of networks under them."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

import numpy as np

from core.errors import UserError, short
from nas import pareto
from nas.trial import Trial, longest, mean, merged

#: Metrics that a study can optimise or limit; True where more is better.
METRICS: dict[str, bool] = {
    "f1": True,
    "accuracy": True,
    "balanced_accuracy": True,
    "params": False,
    "macs": False,
    "flash_kb": False,
    "ram_kb": False,
    "latency_ms": False,
    "train_seconds": False,
    "total_seconds": False,
    "score": False,
}
#: Costs of a network wherever it runs.
COSTS = ("params", "macs")
#: Those that depend on its target.
MEMORY = ("flash_kb", "ram_kb")
#: Metrics in closed form, known without training or measuring anything.
CLOSED_FORM = (*COSTS, *MEMORY)
#: Metrics that only a study measures whose goals or limits name one of them.
TIMED = ("total_seconds", "score")
#: Scores on validation, from 0 to 1.
SCORES = ("f1", "accuracy", "balanced_accuracy")
_EXPONENT = {"": 0, "k": 3, "m": 6, "g": 9, "%": -2}
_LIMIT = re.compile(r"\s*([a-z_0-9]+)\s*(<=|>=)\s*([0-9.]+(?:e[+-]?\d+)?)\s*([kmg%]?)\s*", re.I)


@dataclass(frozen=True)
class Objective:
    """One goal: a metric and its direction."""

    metric: str
    maximize: bool

    def __str__(self) -> str:
        return f"{self.metric}:{'max' if self.maximize else 'min'}"


@dataclass(frozen=True)
class Limit:
    """A bound on a metric, ``metric <= value`` (``upper``) or ``metric >= value``."""

    metric: str
    upper: bool
    value: float

    def violation(self, metrics: Mapping[str, float]) -> float:
        """Return the relative excess over the bound; 0 if the bound holds or the metric is missing.

        A metric that is NaN violates the limit infinitely.
        """
        if self.metric not in metrics:
            return 0.0
        excess = metrics[self.metric] - self.value
        if math.isnan(excess):
            return math.inf
        return max(0.0, excess if self.upper else -excess) / max(abs(self.value), 1e-12)

    def __str__(self) -> str:
        return f"{self.metric}{'<=' if self.upper else '>='}{self.value:,.10g}"


@dataclass(frozen=True)
class Objectives:
    """The goals and limits of a study.

    Attributes:
        goals: one or more; the first decides where one network must be picked.
        limits: bounds that every chosen network meets.
    """

    goals: tuple[Objective, ...]
    limits: tuple[Limit, ...] = ()

    @classmethod
    def parse(cls, goals: Sequence[str], limits: Sequence[str] = ()) -> Objectives:
        """Parse goals as in ``"f1:max"`` or ``"f1"``, and limits as in ``"params<=300k"``.

        Raises:
            UserError: a text is malformed, or names an unknown metric; lists the known ones.
        """
        parsed = tuple(_parse_goal(goal) for goal in goals) or (Objective("f1", True),)
        names = [goal.metric for goal in parsed]
        for name in names:
            if names.count(name) > 1:
                raise UserError(f"objective {name} is given twice; give each metric once")
        return cls(parsed, tuple(parse_limit(limit, typed=False) for limit in limits))

    def __str__(self) -> str:
        return ", ".join([*map(str, self.goals), *map(str, self.limits)])

    @property
    def names(self) -> tuple[str, ...]:
        """Metrics of the goals, in order."""
        return tuple(goal.metric for goal in self.goals)

    @property
    def named(self) -> tuple[str, ...]:
        """Metrics of the goals, then those of the limits, each once."""
        return tuple(dict.fromkeys([*self.names, *(limit.metric for limit in self.limits)]))

    @property
    def size_limits(self) -> tuple[Limit, ...]:
        """Limits that decide the size of networks: upper ones on costs and latency."""
        before_training = (*CLOSED_FORM, "latency_ms")
        return tuple(limit for limit in self.limits if limit.upper and limit.metric in before_training)

    @property
    def timed(self) -> bool:
        """True if trials must be timed on all validation images, see :data:`TIMED`."""
        return any(name in TIMED for name in self.named)

    def values(self, metrics: Mapping[str, float]) -> tuple[float, ...]:
        """Return the goals' metrics, in order.

        Raises:
            KeyError: a metric is missing.
        """
        return tuple(float(metrics[goal.metric]) for goal in self.goals)

    def losses(self, metrics: Mapping[str, float]) -> tuple[float, ...]:
        """Return the goals' metrics, signed so that less is better."""
        return tuple(
            -value if goal.maximize else value
            for goal, value in zip(self.goals, self.values(metrics), strict=True)
        )

    def problem(self, metrics: Mapping[str, float]) -> str | None:
        """Return why ``metrics`` cannot be compared (no goal, or one is not finite), or None."""
        for name in self.names:
            if name not in metrics:
                return f"the evaluator returned no {name}"
        return not_finite(metrics)

    def violation(self, metrics: Mapping[str, float]) -> float:
        """Return the sum of the limits' relative violations; 0 if all measured limits are met."""
        return sum(limit.violation(metrics) for limit in self.limits)

    def feasible(self, trials: Iterable[Trial]) -> list[Trial]:
        """Return the completed trials that meet every limit and have every goal."""
        return [trial for trial in self.sound(trials) if self.violation(trial.metrics or {}) == 0]

    def sound(self, trials: Iterable[Trial]) -> list[Trial]:
        """Return the completed trials that have every goal, as a finite number."""
        return [
            trial for trial in trials if trial.metrics is not None and self.problem(trial.metrics) is None
        ]

    def compared(self, trials: Iterable[Trial]) -> list[Trial]:
        """Return one trial per feasible network, of the longest training that any of them had.

        A network that was trained several times for as long counts with the mean of these trainings, as
        the first of them (see :func:`nas.trial.merged`).
        """
        return longest(self.feasible(merged(self.sound(trials))))

    def ranked(self, trials: Iterable[Trial]) -> list[Trial]:
        """Return every network once, with its longest training, best first.

        Longer trainings come before shorter ones. Among equally long ones the order is NSGA-II's
        (:func:`nas.pareto.order`), networks beyond the limits last.
        """
        networks: dict[str, Trial] = {}
        for trial in merged(self.sound(trials)):
            rival = networks.setdefault(trial.architecture.key, trial)
            if trial.length > rival.length:
                networks[trial.architecture.key] = trial
        measured = [trial.metrics or {} for trial in networks.values()]
        if not measured:
            return []
        places = pareto.order([*map(self.losses, measured)], [*map(self.violation, measured)])
        ordered = zip(places, networks.values(), strict=True)
        return [
            t for _, t in sorted(ordered, key=lambda pair: (-pair[1].length, pair[0], pair[1].number))
        ]

    def course(self, trials: Iterable[Trial]) -> list[Trial | None]:
        """Return the :meth:`best` network after each of the trials, by number.

        Its metrics are the means of the trainings until then.
        """
        groups: dict[tuple[str, int | None], list[Trial]] = {}
        places: dict[tuple[str, int | None], tuple[float, tuple[float, ...], int]] = {}
        networks: dict[int, Trial] = {}
        bests: list[Trial | None] = []
        for trial in sorted(trials, key=lambda trial: trial.number):
            if self.sound([trial]):
                group = trial.proposal.group
                groups.setdefault(group, []).append(trial)
                network = mean(groups[group])
                networks[network.number] = network
                places.pop(group, None)
                if self.feasible([network]):
                    places[group] = -network.length, self.losses(network.metrics or {}), network.number
            bests.append(networks[min(places.values())[-1]] if places else None)
        return bests

    def dominates(self, one: Mapping[str, float], other: Mapping[str, float]) -> bool:
        """Return True if ``one`` is at least as good in every goal and better in one (Pareto)."""
        pairs = list(zip(self.losses(one), self.losses(other), strict=True))
        return all(a <= b for a, b in pairs) and any(a < b for a, b in pairs)

    def front(self, trials: Iterable[Trial]) -> list[Trial]:
        """Return the :meth:`compared` networks that no other dominates, best in the first goal first.

        Of networks with equal goals only the first is on it.
        """
        ordered = sorted(
            self.compared(trials),
            key=lambda trial: (*self.losses(trial.metrics or {}), trial.number),
        )
        front: list[Trial] = []
        for trial in ordered:  # sorted, so only earlier ones can dominate
            losses = np.array(self.losses(trial.metrics or {}))
            if not any(np.all(self.losses(kept.metrics or {}) <= losses) for kept in front):
                front.append(trial)
        return front

    def best(self, trials: Iterable[Trial]) -> Trial | None:
        """Return the feasible network that is best in the first goal; ties go by the other goals."""
        front = self.front(trials)
        return front[0] if front else None

    def knee(self, trials: Iterable[Trial]) -> Trial | None:
        """Return the front's network closest to the best of every goal, scaled to the front's range."""
        front = self.front(trials)
        if not front:
            return None
        losses = np.array([self.losses(trial.metrics or {}) for trial in front])
        span = np.ptp(losses, axis=0)
        scaled = (losses - losses.min(axis=0)) / np.where(span > 0, span, 1.0)
        return front[int(np.argmin(np.linalg.norm(scaled, axis=1)))]


def not_finite(metrics: Mapping[str, float]) -> str | None:
    """Return which metric is NaN or infinite, or None."""
    return next(
        (f"{name} is {value}" for name, value in metrics.items() if not math.isfinite(value)), None
    )


def _parse_goal(text: str) -> Objective:
    metric, _, direction = text.strip().partition(":")
    if metric not in METRICS:
        raise UserError(f"objective {short(text)}: unknown metric; known: {', '.join(METRICS)}")
    if direction not in ("", "max", "min"):
        raise UserError(f"objective {short(text)}: the direction is 'max' or 'min', as in 'f1:max'")
    return Objective(metric, METRICS[metric] if not direction else direction == "max")


def parse_limit(
    text: str,
    *,
    source: str = "limit",
    known: Collection[str] = tuple(METRICS),
    typed: bool = True,
) -> Limit:
    """Parse a limit as in ``params<=300k``.

    Numbers of params and MACs take the suffixes k, M and G, those of F1 and accuracies take %.

    Args:
        text: the limit.
        source: the setting that holds it, for messages.
        known: metrics that can be limited.
        typed: also refuse probable mistakes: other suffixes, shares above 1, and costs of 0 at most.

    Raises:
        UserError: the text is malformed, names an unknown metric, or is probably a mistake.
    """
    match = _LIMIT.fullmatch(text)
    if match is None:
        raise UserError(f"{source} {short(text)} is malformed; write it as 'params<=300k' or 'f1>=0.8'")
    metric, operator, number, suffix = match.groups()
    if metric not in known:
        raise UserError(
            f"{source} {short(text)}: unknown metric {short(metric)}; known: {', '.join(known)}"
        )
    try:
        value = float(Decimal(number).scaleb(_EXPONENT[suffix.lower()]))  # 95% is 0.95 to the last bit
    except ArithmeticError:
        value = math.nan
    if not math.isfinite(value):
        raise UserError(f"{source} {short(text)}: {short(number)} is not a number")
    if typed and suffix and metric not in (takers := SCORES if suffix == "%" else COSTS):
        raise UserError(
            f"{source} {short(text)}: {short(suffix)} is for {', '.join(takers)}; "
            f"write {metric} as a plain number"
        )
    if typed and metric not in SCORES and operator == "<=" and value == 0:
        raise UserError(f"{source} {short(text)}: every network has more; give a number above 0")
    if typed and metric in SCORES and value > 1:
        raise UserError(
            f"{source} {short(text)}: {metric} is from 0 to 1; write {metric}{operator}0.6 or "
            f"{metric}{operator}60%"
        )
    return Limit(metric, operator == "<=", value)
