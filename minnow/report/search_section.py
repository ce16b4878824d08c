"""The search in a run's page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from core.config import SearchConfig
from core.config_io import to_yaml
from minnow.base_settings import source_word
from minnow.evaluator_settings import judged_as_cut
from minnow.format import TITLES, counted, metric_text, title_of
from minnow.report.decisions import shared_options
from minnow.report.plots import front_figure, fronts, history_figure, timeline_figure
from minnow.report.rendering import Cell, Head, Row, Table, plot
from minnow.run_directory import Run
from nas.objectives import SCORES, Objectives
from nas.trial import Trial

_COLUMNS = ("f1", "accuracy", "params", "macs", "latency_ms", "train_seconds")


def search_section(run: Run) -> dict[str, Any]:
    """Return the values of ``search.html.jinja``.

    Raises:
        UserError: the study is missing or damaged.
    """
    best = run.best
    section: dict[str, Any] = {
        "missing": None if best is not None else _reason_of_none(run),
        "history": None,
        "timeline": None,
        "front": None,
        "shared": None,
        "trials": None,
        "settings": _settings(run),
        "config": to_yaml(run.config.model_copy(update={"storage": None})),  # it may hold a password
    }
    if best is not None:
        classes = len(run.classes) or None
        section["reasons"] = _reasons(run, best)
        section["architecture"] = best.architecture.to_text(num_classes=classes)
    if (history := history_figure(run)) is not None:
        section["history"] = plot(history, "history", 400)
    if (timeline := timeline_figure(run)) is not None:
        workers = {trial.execution.worker for trial in run.trials if trial.execution is not None}
        section["timeline"] = plot(timeline, "timeline", 140 + 36 * len(workers))
    if run.trainings:
        section |= _front(run)
        ranked = [run.options(trial) for trial in run.objectives.ranked(run.trials)]
        section["shared"] = shared_options(ranked, None if best is None else run.options(best))
    if run.trials:
        errors = Counter(trial.error for trial in run.trials if not trial.completed)
        reasons = "; ".join(f"{error} ({count} times)" for error, count in errors.most_common())
        section["trials"] = _trials_table(run)
        section["failures"] = (
            f"{errors.total()} of {len(run.trials)} failed: {reasons}" if errors else None
        )
    return section


def search_facts(run: Run) -> list[tuple[str, str]]:
    """Return the most important numbers of a search, each as name and text."""
    failed = sum(not trial.completed for trial in run.trials)
    facts = [("trials" + (f", {failed} failed" if failed else ""), str(len(run.trials)))]
    if run.best is not None:
        metrics = run.best.metrics or {}
        names = dict.fromkeys([*run.objectives.names, "f1", "params", "macs", "latency_ms"])
        predicted = run.latency_source is not None
        scored = "before training: " if judged_as_cut(run.config) else ""
        facts = [
            ("chosen: trial", str(run.best.number)),
            *(
                (
                    f"{scored if name in SCORES else ''}{title_of(name, predicted=predicted)}",
                    metric_text(name, metrics[name]),
                )
                for name in names
                if name in metrics
            ),
            *facts,
        ]
    return facts


def versions_text(versions: Mapping[str, Any]) -> str:
    """Return package versions as one line."""
    return ", ".join(f"{name} {number}" for name, number in versions.items())


def _reason_of_none(run: Run) -> str:
    if not run.trials:
        return "No trial has ended yet."
    failed = not any(trial.completed for trial in run.trials)
    return f"None: {'every trial failed' if failed else 'no trial meets every limit'}."


def _reasons(run: Run, best: Trial) -> str:
    """Return why the search chose this network."""
    objectives, metrics = run.objectives, best.metrics or {}
    compared = objectives.compared(run.trials)
    goal = objectives.goals[0]
    reasons = [
        f"Trial {best.number}: {'highest' if goal.maximize else 'lowest'} {title_of(goal.metric)}, "
        f"{metric_text(goal.metric, metrics[goal.metric])}, of the {len(compared)} networks "
        f"{'within the limits' if objectives.limits else 'compared'}"
    ]
    numbers = [trial.number for trial in run.trainings[best.proposal.group]]
    if len(numbers) > 1:
        listed = ", ".join(map(str, numbers))
        reasons.append(f"its scores are the means of {len(numbers)} trainings (trials {listed})")
    others = [trial for trial in compared if trial.number != best.number]
    if others:
        second = min(others, key=lambda trial: objectives.losses(trial.metrics or {}))
        value = metric_text(goal.metric, (second.metrics or {})[goal.metric])
        reasons.append(f"the next one, trial {second.number}, has {value}")
    if run.knee is not None and run.knee.number != best.number:
        reasons.append(f"the knee of the Pareto front is trial {run.knee.number} (--pick knee)")
    predicted = {"latency_ms": ", predicted"} if run.latency_source is not None else {}
    limits = [
        f"{limit} ({metric_text(limit.metric, metrics[limit.metric])}{predicted.get(limit.metric, '')})"
        for limit in objectives.limits
        if limit.metric in metrics
    ]
    if limits:
        reasons.append(f"limits met: {', '.join(limits)}")
    sentences = [f"{'; '.join(reasons)}."]
    if judged_as_cut(run.config):
        sentences.append(
            f"Trials have the scores of networks as they are cut out of the {source_word(run.config)}, "
            "before any training: they compare networks of one size, and are far below those of the "
            "students."
        )
    return " ".join(sentences)


def _front(run: Run) -> dict[str, Any]:
    """Return the Pareto front, drawn and listed."""
    objectives, pairs = run.objectives, fronts(run)
    goal = objectives.goals[0]
    if len(objectives.goals) > 1:
        text = f"Networks that no other beats in every goal ({objectives})."
    else:
        others = " or ".join(TITLES[other.metric] for other, _ in pairs)
        text = f"Networks that no other beats in both {title_of(goal.metric)} and {others}."
    if objectives.limits:
        text += " Dotted lines are limits; only networks within them count."
    on_front = {trial.number: trial for _, front in pairs for trial in front}
    trials = sorted(on_front.values(), key=lambda t: (objectives.losses(t.metrics or {}), t.number))
    columns = _measured(objectives, trials)
    general = [name for name in run.options(trials[0]) if "." not in name][:3] if trials else []
    heads = ["trial", *_titles(run, columns), "mean of", *general]
    rows = [
        Row(
            [
                _number(trial.number),
                *(_metric(name, trial) for name in columns),
                _number(len(run.trainings[trial.proposal.group])),
                *(Cell(str(run.options(trial)[name])) for name in general),
            ],
            chosen=run.best is not None and trial.number == run.best.number,
        )
        for trial in trials
    ]
    return {
        "front": Table("front", [Head(head) for head in heads], rows, sortable=True),
        "front_text": text,
        "front_plot": plot(front_figure(run), "front-plot", 440) if pairs else None,
    }


def _trials_table(run: Run) -> Table:
    """Return every trial, the failed ones with their errors."""
    columns = _measured(run.objectives, run.trials)
    several = any(trial.proposal.epochs is not None for trial in run.trials)
    heads = [Head("trial"), *([Head("epochs")] if several else []), *map(Head, _titles(run, columns))]
    rows = []
    for trial, remark in zip(run.trials, _remarks(run), strict=True):
        options = ", ".join(f"{name} {option}" for name, option in run.options(trial).items())
        epochs = trial.proposal.epochs
        cells = [Cell(str(trial.number), value=trial.number, hover=options)]
        cells += [Cell(str(epochs), value=epochs)] if several else []
        cells += [_metric(name, trial) for name in columns]
        chosen = run.best is not None and trial.number == run.best.number
        rows.append(Row([*cells, Cell(remark, classes="text")], chosen))
    return Table("trials", [*heads, Head("", left=True)], rows, sortable=True)


def _remarks(run: Run) -> Iterator[str]:
    first: dict[str, int] = {}
    front = {trial.number for trial in run.front}
    for trial in run.trials:
        original = first.setdefault(trial.architecture.key, trial.number)
        remarks = []
        if run.best is not None and trial.number == run.best.number:
            remarks.append("chosen")
        elif run.knee is not None and trial.number == run.knee.number:
            remarks.append("knee of the front")
        elif trial.number in front:
            remarks.append("on the front")
        if trial.proposal.parent is not None:
            remarks.append(f"continues trial {trial.proposal.parent}")
        elif original != trial.number:
            remarks.append(f"trial {original} again, with another seed")
        if trial.metrics is None:
            remarks.append(f"failed: {trial.error}")
        else:
            limits = run.objectives.limits
            remarks += [f"beyond {limit}" for limit in limits if limit.violation(trial.metrics) > 0]
        yield "; ".join(remarks)


def _measured(objectives: Objectives, trials: Iterable[Trial]) -> list[str]:
    """Return the metrics to show, those of the objectives first."""
    timed = ("total_seconds",) if objectives.timed else ()
    measured = {name for trial in trials for name in trial.metrics or ()}
    names = dict.fromkeys([*objectives.named, *timed, *_COLUMNS])
    return [name for name in names if name in measured]


def _titles(run: Run, columns: Iterable[str]) -> list[str]:
    predicted = run.latency_source is not None
    return [title_of(name, predicted=predicted) for name in columns]


def _number(value: int) -> Cell:
    return Cell(str(value), value=value)


def _metric(name: str, trial: Trial) -> Cell:
    value = (trial.metrics or {}).get(name)
    return Cell("-") if value is None else Cell(metric_text(name, value), value=value)


def _settings(run: Run) -> Table:
    study = run.study.facts
    facts = _config_facts(run.config, timed=run.objectives.timed)
    if images := study.get("images"):
        facts.append(("images", ", ".join(f"{count:,} {split}" for split, count in images.items())))
    if run.classes:
        facts.append((f"{len(run.classes)} classes", _listed(run.classes)))
    if run.latency_source is not None:
        facts.append(("latencies", run.latency_source))
    if versions := study.get("versions"):
        facts.append(("versions", versions_text(versions)))
    rows = [Row([Cell(name, classes="left"), Cell(value, classes="text")]) for name, value in facts]
    return Table("settings", [Head("search", left=True), Head("", left=True)], rows)


def _config_facts(config: SearchConfig, *, timed: bool) -> list[tuple[str, str]]:
    train, sides = config.train, config.space.resolutions
    options = ", ".join(f"{name}={value}" for name, value in config.strategy.options.items())
    budget = [f"{counted(config.trials, 'trial')}, none of which trains"]
    if train.epochs:
        budget = [
            f"{counted(config.trials, 'trial')} of {counted(train.epochs, 'epoch')}, batches of "
            f"{train.batch_size} images"
        ]
    if config.confirm:
        budget.append(f"the last {config.confirm} confirm the best networks")
    if config.fidelity != "full":
        budget.append(f"fidelity {config.fidelity}")
    if config.timeout is not None:
        budget.append(f"at most {config.timeout:g} s")
    if config.workers is not None and config.workers > 1:
        budget.append(f"{config.workers} at a time")
    teacher = "none"
    if config.teacher is not None:
        teacher = f"{config.teacher.spec}, loss {config.loss.name} with weight {config.loss.weight:g}"
    size = "" if config.data.size is None else f", stored at {config.data.size} px"
    data = config.data
    groups = "" if data.group_by is None else f", groups by {data.group_by}"
    score = f"against F1 {config.score.f1:g} in {config.score.time:g} s"
    return [
        (
            "data",
            f"{config.data.spec}{size}, {config.data.fit}, split seed {config.data.split_seed}{groups}",
        ),
        ("space", f"{config.space.name}{'' if sides is None else f', sides {_listed(sides)} px'}"),
        ("strategy", f"{config.strategy.name}{f' ({options})' if options else ''}"),
        ("objectives", _listed(config.objectives)),
        ("limits", _listed(config.limits) or "none"),
        *([("score", score)] if timed else []),
        ("evaluator", config.evaluator or "as usual"),
        ("budget", "; ".join(budget)),
        ("teacher", teacher),
        *([] if config.base is None else [("base", config.base.spec)]),
        ("balance", config.balance.mode or "none"),
        ("seed", str(config.seed)),
    ]


def _listed(values: Sequence[Any]) -> str:
    return ", ".join(map(str, values))
