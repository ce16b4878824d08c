"""Selection of one network of a study: ``best``, ``knee``, ``smallest:f1>=0.6`` ..."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from core.errors import UserError
from nas.objectives import Limit, Objective, Objectives, parse_limit
from nas.trial import Trial

#: Rules of selection; those with a metric minimise it, the others go by the goals of the study.
RULES: dict[str, str | None] = {
    "best": None,
    "knee": None,
    "smallest": "params",
    "fastest": "latency_ms",
}


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
            f"pick {text!r}: give a trial number, or {', '.join(RULES)}, alone or with conditions, as "
            f"in 'smallest:f1>=0.6'"
        )
    within = objectives.compared(trials)
    if not within:
        raise UserError(f"no trial of {where} meets the limits; resume the search with more trials")
    measured = list(dict.fromkeys(name for trial in within for name in trial.metrics or {}))
    limits = tuple(
        parse_limit(condition, source=f"pick {text!r}:", known=measured)
        for condition in (conditions.split(",") if colon else [])
    )
    meeting = [trial for trial in within if _meets(trial, limits)]
    if not meeting:
        raise UserError(
            f"pick {text!r}: no trial of {where} meets {', '.join(map(str, limits))}; "
            f"{_nearest(within, limits)}"
        )
    metric = RULES[rule]
    if metric is not None:
        ties = tuple(goal for goal in objectives.goals if goal.metric != metric)
        objectives = replace(objectives, goals=(Objective(metric, False), *ties))
    chosen = objectives.knee(meeting) if rule == "knee" else objectives.best(meeting)
    if chosen is None:  # among networks within every limit one is always best
        raise RuntimeError(f"pick {text!r} selected nothing from {len(meeting)} trials")
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
