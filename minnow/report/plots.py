"""The plots of a search and of a training.

Optuna's plots of the same names cannot show this: they take every training for a network of its own, so
that a re-trained network counts with its luckiest score and not with its mean. They show neither failed
trials nor lengths of training, and the Pareto front needs several objectives.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go
from markupsafe import escape
from plotly.subplots import make_subplots

from core.errors import cut
from distill.student_metrics import StudentMetrics
from minnow.format import TITLES, metric_text, title_of
from nas.objectives import METRICS, Objective, Objectives
from nas.selection import StudyResults
from nas.trial import Trial, merged

_BLUE, _ORANGE, _GREY, _RED = "#1f77b4", "#e6780a", "#9aa5b1", "#c0392b"
_MARGIN = {"t": 40, "r": 20, "b": 50, "l": 60}  # pixels
_LOG_RATIO = 8.0  # ratio of largest to smallest value from which an axis is logarithmic
_SHADES = ("#9ecae1", "#4a98c9", "#1f5f99", "#08306b")  # by length of training, the shortest first
_LONGEST_LINE = 120  # characters, in what a point says when it is pointed at
_AGAINST = ("latency_ms", "params")  # axes for a search with a single goal


def history_figure(results: StudyResults) -> go.Figure | None:
    """Return every trial's value of the first goal and that of the best network so far.

    ``None`` if no trial completed.
    """
    objectives, goal = results.objectives, results.objectives.names[0]
    completed = [trial for trial in results.trials if goal in (trial.metrics or {})]
    if not completed:
        return None
    figure = go.Figure()
    lengths = sorted({trial.length for trial in completed})
    for index, length in enumerate(lengths):
        equal = [trial for trial in completed if trial.length == length]
        several = len(lengths) > 1
        shade = _SHADES[min(index, len(_SHADES) - 1)] if several else _BLUE
        name = f"{equal[0].proposal.epochs} epochs" if several else "trial"
        within = {t.number for t in equal if objectives.violation(t.metrics or {}) == 0}
        for trials, symbol, label in (
            ([t for t in equal if t.number in within], "circle", name),
            ([t for t in equal if t.number not in within], "circle-open", f"{name} beyond the limits"),
        ):
            if trials:
                figure.add_scatter(
                    x=[trial.number for trial in trials],
                    y=_column(trials, goal),
                    name=label,
                    mode="markers",
                    marker={"size": 8, "color": shade, "symbol": symbol},
                    text=[f"trial {t.number}<br>{_values(t.metrics or {})}" for t in trials],
                    hoverinfo="text",
                )
    course = zip(results.trials, objectives.course(results.trials), strict=True)
    steps = [(trial.number, best) for trial, best in course if best is not None]
    if steps:
        figure.add_scatter(
            x=[number for number, _ in steps],
            y=_column([best for _, best in steps], goal),
            name="the best network so far (mean of its trainings)",
            mode="lines",
            line={"shape": "hv", "color": _ORANGE, "width": 2},
            text=[
                f"best after trial {number}: trial {best.number}<br>{_values(best.metrics or {})}"
                for number, best in steps
            ],
            hoverinfo="text",
        )
    failed = [trial for trial in results.trials if not trial.completed]
    if failed:
        figure.add_scatter(
            x=[trial.number for trial in failed],
            y=[min(_column(completed, goal))] * len(failed),
            name="failed",
            mode="markers",
            marker={"symbol": "x", "size": 8, "color": _RED},
            text=[f"trial {t.number} failed: {escape(cut(str(t.error), _LONGEST_LINE))}" for t in failed],
            hoverinfo="text",
        )
    figure.update_xaxes(title_text="trial")
    figure.update_yaxes(title_text=title_of(goal))
    figure.update_layout(legend={"orientation": "h", "y": 1.12}, margin=_MARGIN)
    return figure


def timeline_figure(results: StudyResults) -> go.Figure | None:
    """Return a bar per trial, from its start to its end, in a row for each worker.

    ``None`` if all ran in one place, or where is unknown.
    """
    ran = [trial for trial in results.trials if trial.execution is not None]
    workers = sorted({trial.execution.worker for trial in ran if trial.execution is not None})
    if len(workers) < 2:
        return None
    first = min(trial.execution.started for trial in ran if trial.execution is not None)
    figure = go.Figure()
    for completed, colour, name in ((True, _BLUE, "trial"), (False, _RED, "failed")):
        chosen = [trial for trial in ran if trial.completed == completed]
        executions = [trial.execution for trial in chosen if trial.execution is not None]
        if executions:
            figure.add_bar(
                orientation="h",
                y=[execution.worker for execution in executions],
                base=[(execution.started - first) / 60 for execution in executions],
                x=[(execution.ended - execution.started) / 60 for execution in executions],
                name=name,
                marker={"color": colour, "line": {"color": "white", "width": 1}},
                text=[str(trial.number) for trial in chosen],
                hovertext=[_ran(trial) for trial in chosen],
                hoverinfo="text",
            )
    figure.update_xaxes(title_text="minutes since the first trial began", rangemode="tozero")
    figure.update_yaxes(categoryorder="array", categoryarray=workers[::-1])
    figure.update_layout(
        barmode="overlay", legend={"orientation": "h", "y": 1.12}, margin={**_MARGIN, "l": 130}
    )
    return figure


def _ran(trial: Trial) -> str:
    """Return what a bar says when it is pointed at."""
    execution = trial.execution
    seconds = 0.0 if execution is None else execution.ended - execution.started
    outcome = _values(trial.metrics) if trial.metrics is not None else f"failed: {trial.error}"
    return f"trial {trial.number}, {seconds:,.0f} s<br>{escape(cut(outcome, _LONGEST_LINE))}"


def fronts(results: StudyResults) -> list[tuple[Objective, list[Trial]]]:
    """Return the goals to draw the first goal against, each with the front to show there.

    With several goals that is the front of the search. With a single one it is the front of this goal and
    latency, and of this goal and params, as far as they were measured.
    """
    objectives = results.objectives
    goal, *others = objectives.goals
    if others:
        return [(other, results.front) for other in others]
    measured = {name for trial in results.trials for name in trial.metrics or ()}
    against = [name for name in _AGAINST if name != goal.metric]
    pairs = [(goal, Objective(name, METRICS[name])) for name in against if name in measured]
    return [(pair[1], Objectives(pair, objectives.limits).front(results.trials)) for pair in pairs]


def front_figure(results: StudyResults) -> go.Figure:
    """Return the networks in one panel per pair of goals, the front marked with trial numbers."""
    goal, pairs = results.objectives.goals[0], fronts(results)
    if not pairs:
        return go.Figure()
    figure = make_subplots(rows=1, cols=len(pairs), horizontal_spacing=0.09)
    compared = {trial.proposal.group for trial in results.objectives.compared(results.trials)}
    networks = merged(results.objectives.sound(results.trials))
    best = None if results.best is None else results.best.proposal.group
    for column, (other, front) in enumerate(pairs, start=1):
        panel = {"row": 1, "col": column}
        measured = [t for t in networks if other.metric in (t.metrics or {})]
        on_front = {trial.proposal.group for trial in front}
        beyond = [t for t in measured if t.proposal.group not in compared]
        dominated = [t for t in measured if t.proposal.group in compared - on_front]
        if len(pairs) == 1 or len(results.objectives.goals) == 1:
            line = sorted(front, key=lambda trial: _value(trial, other.metric))
            figure.add_scatter(
                x=_column(line, other.metric),
                y=_column(line, goal.metric),
                mode="lines",
                line={"color": _BLUE, "width": 1},
                showlegend=False,
                hoverinfo="skip",
                **panel,
            )
        for name, trials, marker in (
            ("beyond the limits or trained shorter", beyond, {"color": _GREY, "symbol": "circle-open"}),
            ("within the limits", dominated, {"color": _GREY}),
            ("Pareto front", [t for t in front if t.proposal.group != best], {"color": _BLUE}),
            (
                "chosen",
                [t for t in front if t.proposal.group == best],
                {"color": _ORANGE, "symbol": "star"},
            ),
        ):
            numbered = name in ("Pareto front", "chosen")
            if trials:
                figure.add_scatter(
                    x=_column(trials, other.metric),
                    y=_column(trials, goal.metric),
                    name=name,
                    legendgroup=name,
                    showlegend=not any(trace.name == name for trace in figure.data),
                    mode="markers+text" if numbered else "markers",
                    text=[str(trial.number) for trial in trials] if numbered else None,
                    textposition="top center",
                    cliponaxis=False,
                    marker={"size": 13 if name == "chosen" else 8, **marker},
                    hovertext=[_hover(results, trial) for trial in trials],
                    hoverinfo="text",
                    **panel,
                )
        values = _column(measured, other.metric)
        _scale_axis(figure, other.metric, values, panel, predicted=results.latency_source is not None)
        _draw_limits(figure, results.objectives, other.metric, values, panel)
    figure.update_yaxes(title_text=title_of(goal.metric), row=1, col=1)
    figure.update_layout(legend={"orientation": "h", "y": 1.12}, margin=_MARGIN)
    return figure


def learning_figure(metrics: StudentMetrics) -> go.Figure | None:
    """Return validation F1 and loss of a student by epoch; ``None`` if it was not trained."""
    if not metrics.history:
        return None
    figure = make_subplots(rows=1, cols=2, horizontal_spacing=0.09)
    epochs = [record.epoch for record in metrics.history]
    curves = (
        ("val F1", [record.val_f1 for record in metrics.history]),
        ("training loss", [record.loss for record in metrics.history]),
    )
    for column, (title, values) in enumerate(curves, start=1):
        figure.add_scatter(
            x=epochs,
            y=values,
            mode="lines+markers" if len(epochs) < 60 else "lines",
            marker={"size": 5},
            line={"color": _BLUE},
            showlegend=False,
            name=title,
            row=1,
            col=column,
        )
        figure.update_xaxes(title_text="epoch", row=1, col=column)
        figure.update_yaxes(title_text=title, row=1, col=column)
    kept = next((record for record in metrics.history if record.epoch == metrics.epoch), None)
    if kept is not None:
        figure.add_scatter(
            x=[kept.epoch],
            y=[kept.val_f1],
            mode="markers",
            marker={"symbol": "star", "size": 13, "color": _ORANGE},
            name="kept epoch",
            row=1,
            col=1,
        )
    if metrics.teacher is not None:
        figure.add_scatter(
            x=[epochs[0], epochs[-1]],
            y=[metrics.teacher.val_f1] * 2,
            mode="lines",
            line={"dash": "dash", "color": _GREY},
            name="teacher",
            row=1,
            col=1,
        )
    figure.update_layout(legend={"orientation": "h", "y": 1.14}, margin=_MARGIN)
    return figure


def _value(trial: Trial, metric: str) -> float:
    return (trial.metrics or {})[metric]


def _column(trials: Sequence[Trial], metric: str) -> list[float]:
    return [_value(trial, metric) for trial in trials]


def _scale_axis(
    figure: go.Figure,
    metric: str,
    values: Sequence[float],
    panel: dict[str, int],
    *,
    predicted: bool,
) -> None:
    title = TITLES.get(metric, metric)
    if metric == "latency_ms":
        title = f"{title_of(metric, predicted=predicted)}, ms"
    figure.update_xaxes(title_text=title, **panel)
    if values and min(values) > 0 and max(values) / min(values) > _LOG_RATIO:
        figure.update_xaxes(type="log", dtick="D2", **panel)


def _draw_limits(
    figure: go.Figure,
    objectives: Objectives,
    across: str,
    values: Sequence[float],
    panel: dict[str, int],
) -> None:
    """Draw dotted lines at the limits that are near the values."""
    for limit in objectives.limits:
        look: dict[str, Any] = {"line_dash": "dot", "line_color": _RED, "line_width": 1, **panel}
        if limit.metric == across and values and limit.value <= 1.5 * max(values):
            figure.add_vline(x=limit.value, **look)
        elif limit.metric == objectives.names[0]:
            figure.add_hline(y=limit.value, **look)


def _hover(results: StudyResults, trial: Trial) -> str:
    """Return trial numbers, metrics, and the options of decisions about the whole network."""
    numbers = [t.number for t in results.trainings[trial.proposal.group]]
    mean = f" (mean of trials {', '.join(map(str, numbers))})" if len(numbers) > 1 else ""
    named = (f"{n} {option}" for n, option in results.options(trial).items() if "." not in n)
    options = escape(cut(", ".join(named), _LONGEST_LINE))
    return f"trial {trial.number}{mean}<br>{_values(trial.metrics or {})}<br>{options}"


def _values(metrics: Mapping[str, float]) -> str:
    shown = [f"{TITLES[name]} {metric_text(name, metrics[name])}" for name in TITLES if name in metrics]
    return "<br>".join(shown)
