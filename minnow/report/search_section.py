"""The part of a run's page that tells of its search."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from core.config import SearchConfig
from minnow.format import TITLES, metric_text, title_of
from minnow.report.html import cell, plot, table, text
from minnow.report.plots import history, trade_offs
from minnow.report.standing import Network, Standing, course
from minnow.report.summary import Summary
from minnow.run_directory import ARCHITECTURE
from nas.objectives import METRICS, Objective, Objectives

_SHOWN = ("f1", "accuracy", "params", "macs", "latency_ms", "train_seconds")
_AGAINST = ("latency_ms", "params")  # what a single goal is plotted against


@dataclass(frozen=True)
class Searched:
    """A search as its run directory holds it.

    Attributes:
        run: the directory.
        config: its settings.
        summary: its trials; none at first.
    """

    run: Path
    config: SearchConfig
    summary: Summary

    @cached_property
    def objectives(self) -> Objectives:
        """What it wants."""
        return Objectives.parse(self.config.objectives, self.config.limits)

    @cached_property
    def course(self) -> list[tuple[Mapping[str, Any], Standing]]:
        """Its trials, and how the networks stood after each."""
        return course(self.summary.trials, self.objectives)

    @property
    def standing(self) -> Standing:
        """How its networks stand."""
        return self.course[-1][1] if self.course else Standing(self.objectives, ())

    @cached_property
    def chosen(self) -> Network | None:
        """The network that ``summary.json`` names as the best."""
        found = (n for n in self.standing.networks if self.summary.best in n.numbers)
        return max(found, key=lambda network: network.length, default=None)


def choice(searched: Searched) -> list[str]:
    """The chosen network, and why it is the one."""
    chosen, trials = searched.chosen, searched.summary.trials
    if not trials:
        return ["<h2>Chosen network</h2>", '<p class="warn">No trial has ended yet.</p>']
    if chosen is None:
        failed = sum(trial["metrics"] is None for trial in trials)
        why = "every trial failed" if failed == len(trials) else "no trial meets every limit"
        return ["<h2>Chosen network</h2>", f'<p class="warn">None: {why}.</p>']
    objectives = searched.objectives
    compared = searched.standing.compared()
    goal = objectives.goals[0]
    reasons = [
        f"Trial {chosen.number}: {'highest' if goal.maximize else 'lowest'} {title_of(goal.metric)}, "
        f"{metric_text(goal.metric, chosen.metrics[goal.metric])}, of the {len(compared)} networks "
        f"{'within the limits' if objectives.limits else 'compared'}"
    ]
    if len(chosen.numbers) > 1:
        each = ", ".join(map(str, chosen.numbers))
        reasons.append(f"its scores are the means of {len(chosen.numbers)} trainings (trials {each})")
    others = sorted((n for n in compared if n.number != chosen.number), key=lambda n: n.losses)
    if others:
        value = metric_text(goal.metric, others[0].metrics[goal.metric])
        reasons.append(f"the next one, trial {others[0].number}, has {value}")
    if searched.summary.knee not in (None, searched.summary.best):
        reasons.append(f"the knee of the Pareto front is trial {searched.summary.knee} (--pick knee)")
    limits = [
        f"{limit} ({metric_text(limit.metric, chosen.metrics[limit.metric])})"
        for limit in objectives.limits
        if limit.metric in chosen.metrics
    ]
    if limits:
        reasons.append(f"limits met: {', '.join(limits)}")
    parts = ["<h2>Chosen network</h2>", f"<p>{text('; '.join(reasons))}.</p>"]
    model = searched.run / ARCHITECTURE
    if model.exists():
        layers = text(model.read_text(encoding="utf-8"))
        parts.append(f"<details><summary>{ARCHITECTURE}</summary><pre>{layers}</pre></details>")
    return parts


def progress(searched: Searched) -> list[str]:
    """The best value over the trials."""
    figure = history(searched.course, searched.objectives)
    if figure is None:
        return []
    return ["<h2>History</h2>", plot(figure, "history", 400)]


def fronts(searched: Searched) -> list[str]:
    """The Pareto front, drawn and listed."""
    objectives, now = searched.objectives, searched.standing
    if not now.networks:
        return []
    goal = objectives.goals[0]
    others = objectives.goals[1:] or tuple(
        Objective(name, METRICS[name])
        for name in _AGAINST
        if name != goal.metric and any(name in network.metrics for network in now.networks)
    )
    if len(objectives.goals) > 1:
        pairs = [(other, now.front(objectives.goals)) for other in others]
    else:
        pairs = [(other, now.front((goal, other))) for other in others]
    shown = {network.numbers: network for _, front in pairs for network in front}
    listed = sorted(shown.values(), key=lambda n: (n.losses, n.number))
    if len(objectives.goals) > 1:
        says = f"Networks that no other beats in every goal ({objectives})."
    else:
        what = " or ".join(TITLES[other.metric] for other in others)
        says = f"Networks that no other beats in both {title_of(goal.metric)} and {what}."
    if objectives.limits:
        says += " Dotted lines are limits; only networks within them count."
    parts = ["<h2>Pareto front</h2>", f"<p>{text(says)}</p>"]
    if others:
        figure = trade_offs(now, goal, pairs, searched.summary.best)
        parts.append(plot(figure, "front-plot", 440))
    columns = [name for name in _columns(objectives) if any(name in n.metrics for n in listed)]
    heads = ["trial", *map(title_of, columns), "mean of", *_general(listed)]
    rows = [
        (
            "chosen" if network.number == searched.summary.best else "",
            [
                cell(str(network.number), value=network.number),
                *(_metric(name, network.metrics) for name in columns),
                cell(str(len(network.numbers)), value=len(network.numbers)),
                *(cell(str(network.choices[name])) for name in _general(listed)),
            ],
        )
        for network in listed
    ]
    return [*parts, table(heads, rows, name="front", sortable=True)]


def trials_table(searched: Searched) -> list[str]:
    """Every trial, the failed ones with their reasons."""
    trials = sorted(searched.summary.trials, key=lambda trial: int(trial["number"]))
    if not trials:
        return []
    reasons = Counter(trial["error"] for trial in trials if trial["metrics"] is None)
    parts = ["<h2>Trials</h2>"]
    if reasons:
        listed = "; ".join(f"{error} ({count} times)" for error, count in reasons.most_common())
        parts.append(f'<p class="warn">{reasons.total()} of {len(trials)} failed: {text(listed)}</p>')
    columns = [
        name
        for name in _columns(searched.objectives)
        if any(name in (t["metrics"] or ()) for t in trials)
    ]
    halved = any(trial.get("epochs") is not None for trial in trials)
    heads = ["trial", *(["epochs"] if halved else []), *map(title_of, columns), "<"]
    rows = [
        (
            "chosen" if trial["number"] == searched.summary.best else "",
            [
                cell(str(trial["number"]), value=trial["number"], hover=_choices(trial)),
                *([cell(str(trial.get("epochs")), value=trial.get("epochs"))] if halved else []),
                *(_metric(name, trial["metrics"] or {}) for name in columns),
                cell(remark, kind="text"),
            ],
        )
        for trial, remark in zip(trials, _remarks(trials, searched), strict=True)
    ]
    return [*parts, table(heads, rows, name="trials", sortable=True)]


def _remarks(trials: Sequence[Mapping[str, Any]], searched: Searched) -> Iterator[str]:
    first: dict[str, int] = {}
    for trial in trials:
        original = first.setdefault(str(trial["choices"]), trial["number"])
        said = []
        if trial["number"] == searched.summary.best:
            said.append("chosen")
        elif trial["number"] == searched.summary.knee:
            said.append("knee of the front")
        elif trial["number"] in searched.summary.front:
            said.append("on the front")
        if trial.get("parent") is not None:
            said.append(f"continues trial {trial['parent']}")
        elif original != trial["number"]:
            said.append(f"trial {original} again, with another seed")
        if trial["metrics"] is None:
            said.append(f"failed: {trial['error']}")
        else:
            for limit in searched.objectives.limits:
                if limit.violation(trial["metrics"]) > 0:
                    said.append(f"beyond {limit}")
        yield "; ".join(said)


def _general(networks: Sequence[Network]) -> list[str]:
    """Decisions about the whole network, such as its resolution."""
    return [name for name in networks[0].choices if "." not in name][:3] if networks else []


def _choices(trial: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {option}" for name, option in trial["choices"].items())


def _columns(objectives: Objectives) -> list[str]:
    timed = ("total_seconds",) if objectives.timed else ()
    return list(dict.fromkeys([*objectives.named, *timed, *_SHOWN]))


def _metric(name: str, metrics: Mapping[str, float]) -> str:
    return cell(metric_text(name, metrics[name]), value=metrics[name]) if name in metrics else cell("-")
