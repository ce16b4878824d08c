"""Selection of one network of a study, ``best``, ``knee``, ``smallest:f1>=0.6``, and its significance."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from statistics import median
from typing import Any

from core.errors import UserError, short
from nas.objectives import Limit, Objective, Objectives, parse_limit
from nas.trial import Trial, trainings

#: Rules of selection; those with a metric minimise it, the others go by the goals of the study.
RULES: dict[str, str | None] = {
    "best": None,
    "knee": None,
    "smallest": "params",
    "fastest": "latency_ms",
}
BEST = "best"  # the usual rule
_LEVEL = 0.05  # probability that the best of so many guessing networks exceeds the bound
_QUALITY = ("f1", "accuracy", "balanced_accuracy", "score")
_MIN_NETWORKS = 3  # of fewer, the median says nothing


class StudyResults(ABC):
    """Finished trials of a study, compared by its objectives."""

    objectives: Objectives

    @property
    @abstractmethod
    def name(self) -> str:
        """The study's name, for messages."""

    @property
    @abstractmethod
    def trials(self) -> list[Trial]:
        """Finished trials, by number."""

    @abstractmethod
    def options(self, trial: Trial) -> Mapping[str, Any]:
        """Return the options of a trial by decision name."""

    @property
    def latency_source(self) -> str | None:
        """The origin of latencies that are predicted; ``None``: they are measured."""
        return None

    @cached_property
    def best(self) -> Trial | None:
        """The chosen trial: best in the first objective within the limits, if any is within them."""
        return self.objectives.best(self.trials)

    @cached_property
    def knee(self) -> Trial | None:
        """The trial of the Pareto front that is closest to the best of every objective, if any."""
        return self.objectives.knee(self.trials)

    @cached_property
    def front(self) -> list[Trial]:
        """The Pareto front, best in the first objective first."""
        return self.objectives.front(self.trials)

    @cached_property
    def trainings(self) -> dict[tuple[str, int | None], list[Trial]]:
        """Comparable trials by network and length of training."""
        return trainings(self.objectives.sound(self.trials))

    def pick(self, text: str = BEST) -> Trial:
        """Return the trial that ``text`` names.

        Args:
            text: a number, ``best``, ``knee``, ``smallest`` or ``fastest``, the words also with
                conditions, as in ``smallest:f1>=0.6``.

        Raises:
            UserError: there is no such trial, or none within the limits or conditions.
        """
        if not (text.isascii() and text.isdecimal()):
            return pick(self.trials, self.objectives, text, self.name)
        for trial in self.trials:
            if str(trial.number) == (text.lstrip("0") or "0"):
                return trial
        last = max((trial.number for trial in self.trials), default=0)
        raise UserError(f"pick {short(text)}: {self.name} has the trials 0 to {last}")


def pick(trials: Sequence[Trial], objectives: Objectives, text: str, where: str = "the study") -> Trial:
    """Return the network that ``RULE`` or ``RULE:CONDITION,CONDITION`` selects within the limits.

    A network that was trained several times counts with its means, see :meth:`Objectives.compared`;
    conditions apply to these.

    Args:
        trials: of the study.
        objectives: of the study.
        text: ``best`` (in the first goal), ``knee`` (of the Pareto front), ``smallest`` (fewest params)
            or ``fastest`` (lowest latency_ms), and conditions on any metric of the trials, written like
            limits.
        where: the run or study of the trials, for messages.

    Raises:
        UserError: the text is malformed, no trial is within the limits, or none meets the conditions;
            names the metrics of the trial that comes nearest.
    """
    rule, colon, conditions = text.partition(":")
    rule = rule.strip()
    if rule not in RULES:
        raise UserError(
            f"pick {short(text)}: give a trial number, or {', '.join(RULES)}, alone or with conditions, "
            "as in 'smallest:f1>=0.6'"
        )
    within = objectives.compared(trials)
    if not within:
        raise UserError(f"no trial of {where} meets the limits; resume the search with more trials")
    measured = list(dict.fromkeys(name for trial in within for name in trial.metrics or {}))
    limits = tuple(
        parse_limit(condition, source=f"pick {short(text)}:", known=measured)
        for condition in (conditions.split(",") if colon else [])
    )
    meeting = [trial for trial in within if _meets(trial, limits)]
    if not meeting:
        raise UserError(
            f"pick {short(text)}: no trial of {where} meets {', '.join(map(str, limits))}; "
            f"{_nearest(within, limits)}"
        )
    metric = RULES[rule]
    if metric is not None:
        ties = tuple(goal for goal in objectives.goals if goal.metric != metric)
        objectives = replace(objectives, goals=(Objective(metric, False), *ties))
    chosen = objectives.knee(meeting) if rule == "knee" else objectives.best(meeting)
    if chosen is None:  # among networks within every limit one is always best
        raise RuntimeError(f"pick {short(text)} selected nothing from {len(meeting)} trials")
    return chosen


def _meets(trial: Trial, limits: Sequence[Limit]) -> bool:
    metrics = trial.metrics or {}
    return all(limit.metric in metrics and limit.violation(metrics) == 0 for limit in limits)


def _nearest(trials: Sequence[Trial], limits: Sequence[Limit]) -> str:
    """Name the trial that violates the limits least, among those with all their metrics."""
    names = list(dict.fromkeys(limit.metric for limit in limits))
    measured = [trial for trial in trials if trial.metrics and {*names} <= trial.metrics.keys()]
    if not measured:
        return f"none has both {' and '.join(names)}"
    everything = Objectives((), tuple(limits))
    nearest = min(measured, key=lambda trial: everything.violation(trial.metrics or {}))
    values = ", ".join(f"{name} {(nearest.metrics or {})[name]:,.4g}" for name in names)
    return f"the nearest, trial {nearest.number}, has {values}"


def insignificance(
    trials: Sequence[Trial], objectives: Objectives, images: Sequence[int], *, trained: bool = True
) -> str | None:
    """One-line reason why the selection is not significant, or None.

    First reason: the best balanced accuracy is within reach of the best of as many guessing networks.
    Whatever the classes' shares and whatever it guesses, a network that ignores its input has a balanced
    accuracy of 1 / C on average; the bound is the 95 % quantile for uniform guesses (binomial,
    Bonferroni).

    Second, where quality is a goal: validation F1 of the best and the median network differ by less than
    the binomial standard error of the best. For both, n images in classes of unequal size count as
    C^2 / sum(1 / n_c) images, at most n, since macro means give each class the same weight.

    Args:
        trials: of the study; those without f1 and balanced_accuracy are left out.
        objectives: of the study.
        images: validation images of each class.
        trained: whether the trials train their networks.
    """
    measured = [
        trial.metrics
        for trial in objectives.compared(trials)
        if trial.metrics is not None and {"f1", "balanced_accuracy"} <= trial.metrics.keys()
    ]
    counts = [count for count in images if count]
    if not measured or len(counts) < 2:
        return None
    effective = len(counts) ** 2 / sum(1 / count for count in counts)
    best = max(metrics["f1"] for metrics in measured)
    recall = max(metrics["balanced_accuracy"] for metrics in measured)
    if recall <= chance_bound(len(counts), effective, len(measured)):
        return (
            f"the best network is not significantly better than guessing (balanced accuracy {recall:.2f} "
            f"on {sum(counts)} validation images, chance {1 / len(counts):.2f}), so the choice is luck; "
            f"give the trials {'more ' * trained}epochs, or the data more images or fewer classes"
        )
    middle = median(metrics["f1"] for metrics in measured)
    error = math.sqrt(best * (1 - best) / effective)
    if len(measured) >= _MIN_NETWORKS and {*_QUALITY} & {*objectives.names} and best - middle < error:
        return (
            f"on {sum(counts)} validation images, F1 of the best network ({best:.3f}) and the median one "
            f"({middle:.3f}) differ by less than the standard error ({error:.3f}), so the choice is "
            f"mostly luck; more images {'or confirmations help, more' if trained else 'help, some'} "
            f"epochs may, or pick the smallest"
        )
    return None


def chance_bound(classes: int, images: float, networks: int) -> float:
    """Return the balanced accuracy that the best of so many guessing networks exceeds in 5 % of cases.

    That share is an upper bound (Bonferroni).

    Args:
        classes: C.
        images: effective number of validation images.
        networks: number of compared networks.
    """
    from scipy.stats import binom

    count = round(images)
    return float(binom.isf(_LEVEL / networks, count, 1 / classes)) / count
