"""Which network of a finished study to go on with: ``best``, ``knee``, ``smallest:f1>=0.6`` ..."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from core.errors import UserError
from nas.objectives import Limit, Objective, Objectives, parse_limit
from nas.trial import Trial

#: What a network can be picked by; the second is the metric that a rule of its own minimises.
RULES: dict[str, str | None] = {
    "best": None,
    "knee": None,
    "smallest": "params",
    "fastest": "latency_ms",
}


def pick(trials: Sequence[Trial], objectives: Objectives, text: str, where: str = "the study") -> Trial:
    """The network that ``RULE`` or ``RULE:CONDITION,CONDITION`` names, within the study's limits.

    A network that was trained several times counts with its means, see :meth:`Objectives.compared`;
    conditions are met by these.

    Args:
        trials: of the study.
        objectives: of the study.
        text: ``best`` (in the first goal), ``knee`` (of the Pareto front), ``smallest`` (fewest params)
            or ``fastest`` (lowest latency_ms), and conditions on any metric of the trials, written like
            limits.
        where: the trials are from, for messages.

    Raises:
        UserError: malformed; no trial is within the limits; or none meets the conditions, with what the
            nearest of them has.
    """
    rule, colon, conditions = text.partition(":")
    rule = rule.strip()
    if rule not in RULES:
        raise UserError(
            f"--pick {text!r}: give a trial number, or {', '.join(RULES)}, alone or with conditions, as "
            f"in 'smallest:f1>=0.6'"
        )
    within = objectives.compared(trials)
    if not within:
        raise UserError(
            f"no trial of {where} meets the limits; search on with --resume and more --trials"
        )
    known = list(dict.fromkeys(name for trial in within for name in trial.metrics or {}))
    limits = tuple(
        parse_limit(part, option=f"--pick {text!r}:", known=known)
        for part in (conditions.split(",") if colon else [])
    )
    found = [trial for trial in within if _meets(trial, limits)]
    if not found:
        raise UserError(
            f"--pick {text!r}: no trial of {where} meets {', '.join(map(str, limits))}; "
            f"{_nearest(within, limits)}"
        )
    metric = RULES[rule]
    if metric is not None:
        objectives = replace(objectives, goals=(Objective(metric, False), *_others(objectives, metric)))
    chosen = objectives.knee(found) if rule == "knee" else objectives.best(found)
    if chosen is None:  # of networks within every limit there is always one
        raise RuntimeError(f"--pick {text!r} chose nothing from {len(found)} trials")
    return chosen


def _meets(trial: Trial, limits: Sequence[Limit]) -> bool:
    metrics = trial.metrics or {}
    return all(limit.metric in metrics and limit.violation(metrics) == 0 for limit in limits)


def _nearest(trials: Sequence[Trial], limits: Sequence[Limit]) -> str:
    """What the trial has that violates the limits least, of those that measured what they are about."""
    names = list(dict.fromkeys(limit.metric for limit in limits))
    measured = [trial for trial in trials if trial.metrics and {*names} <= trial.metrics.keys()]
    if not measured:
        return f"none has both {' and '.join(names)}"
    everything = Objectives((), tuple(limits))
    nearest = min(measured, key=lambda trial: everything.violation(trial.metrics or {}))
    has = ", ".join(f"{name} {(nearest.metrics or {})[name]:,.4g}" for name in names)
    return f"the nearest, trial {nearest.number}, has {has}"


def _others(objectives: Objectives, metric: str) -> tuple[Objective, ...]:
    """The goals that break ties of ``metric``."""
    return tuple(goal for goal in objectives.goals if goal.metric != metric)
