"""The plots of a run's page."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from minnow.format import TITLES, metric_text, title_of
from minnow.report.html import text
from minnow.report.standing import Network, Standing
from minnow.run_directory import Run
from nas.objectives import Limit, Objective, Objectives

_BLUE, _ORANGE, _GREY, _RED = "#1f77b4", "#e6780a", "#9aa5b1", "#c0392b"
_MARGIN = {"t": 40, "r": 20, "b": 50, "l": 60}  # pixels
_WIDE = 8.0  # from this ratio of largest to smallest on, an axis is logarithmic
_SHADES = ("#9ecae1", "#4a98c9", "#1f5f99", "#08306b")  # by length of training, the shortest first


def history(
    steps: Sequence[tuple[Mapping[str, Any], Standing]], objectives: Objectives
) -> go.Figure | None:
    """Every trial's value of the first goal, and that of the network that would have been chosen then.

    ``None`` where no trial completed.
    """
    goal = objectives.goals[0].metric
    done = [trial for trial, _ in steps if goal in (trial["metrics"] or {})]
    if not done:
        return None
    figure = go.Figure()
    lengths = sorted({trial.get("epochs") or 0 for trial in done})
    for index, length in enumerate(lengths):
        of = [trial for trial in done if (trial.get("epochs") or 0) == length]
        inside = [trial for trial in of if objectives.violation(trial["metrics"]) == 0]
        shade = _BLUE if len(lengths) == 1 else _SHADES[min(index, len(_SHADES) - 1)]
        name = "trial" if len(lengths) == 1 else f"{length} epochs"
        for some, symbol, label in (
            (inside, "circle", name),
            ([trial for trial in of if trial not in inside], "circle-open", f"{name} beyond the limits"),
        ):
            if some:
                figure.add_trace(
                    _trials(some, goal, label, {"size": 8, "color": shade, "symbol": symbol})
                )
    chosen = [(trial["number"], now.best()) for trial, now in steps]
    line = [(number, network) for number, network in chosen if network is not None]
    if line:
        figure.add_scatter(
            x=[number for number, _ in line],
            y=[network.metrics[goal] for _, network in line],
            name="the best network so far (mean of its trainings)",
            mode="lines",
            line={"shape": "hv", "color": _ORANGE, "width": 2},
            text=[f"best after trial {number}:<br>{_hover(network)}" for number, network in line],
            hoverinfo="text",
        )
    failed = [trial for trial, _ in steps if trial["metrics"] is None]
    if failed:
        figure.add_scatter(
            x=[trial["number"] for trial in failed],
            y=[min(trial["metrics"][goal] for trial in done)] * len(failed),
            name="failed",
            mode="markers",
            marker={"symbol": "x", "size": 8, "color": _RED},
            text=[f"trial {t['number']} failed: {text(_cut(str(t['error'])))}" for t in failed],
            hoverinfo="text",
        )
    figure.update_xaxes(title_text="trial")
    figure.update_yaxes(title_text=title_of(goal))
    figure.update_layout(legend={"orientation": "h", "y": 1.12}, margin=_MARGIN)
    return figure


def trade_offs(
    now: Standing,
    goal: Objective,
    pairs: Sequence[tuple[Objective, Sequence[Network]]],
    best: int | None,
) -> go.Figure:
    """One panel per other goal: the first goal against it, its front marked with trial numbers."""
    figure = make_subplots(rows=1, cols=len(pairs), horizontal_spacing=0.09)
    inside = {network.numbers for network in now.compared()}
    for column, (other, front) in enumerate(pairs, start=1):
        place = {"row": 1, "col": column}
        known = [n for n in now.networks if other.metric in n.metrics and goal.metric in n.metrics]
        on = {network.numbers for network in front}
        kinds = (
            ("beyond the limits or trained shorter", _GREY, "circle-open", _not_of(known, inside)),
            ("within the limits", _GREY, "circle", [n for n in known if n.numbers in inside - on]),
            ("Pareto front", _BLUE, "circle", [n for n in front if n.number != best]),
            ("chosen", _ORANGE, "star", [n for n in front if n.number == best]),
        )
        drawn = sorted(front, key=lambda n: n.metrics[other.metric])
        if len(pairs) == 1 or len(now.objectives.goals) == 1:
            figure.add_scatter(
                x=[n.metrics[other.metric] for n in drawn],
                y=[n.metrics[goal.metric] for n in drawn],
                mode="lines",
                line={"color": _BLUE, "width": 1},
                showlegend=False,
                hoverinfo="skip",
                **place,
            )
        for name, colour, symbol, some in kinds:
            marked = name in ("Pareto front", "chosen")
            if some:
                figure.add_scatter(
                    x=[n.metrics[other.metric] for n in some],
                    y=[n.metrics[goal.metric] for n in some],
                    name=name,
                    legendgroup=name,
                    showlegend=not any(trace.name == name for trace in figure.data),
                    mode="markers+text" if marked else "markers",
                    text=[str(n.number) for n in some] if marked else None,
                    textposition="top center",
                    cliponaxis=False,
                    marker={"color": colour, "symbol": symbol, "size": 13 if symbol == "star" else 8},
                    hovertext=[_hover(network) for network in some],
                    hoverinfo="text",
                    **place,
                )
        values = [network.metrics[other.metric] for network in known]
        _axis(figure, other.metric, values, place)
        _limits(figure, now.objectives.limits, goal.metric, other.metric, values, place)
    figure.update_yaxes(title_text=title_of(goal.metric), row=1, col=1)
    figure.update_layout(legend={"orientation": "h", "y": 1.12}, margin=_MARGIN)
    return figure


def front_figure(run: Run) -> go.Figure:
    """Return the trials and their Pareto front: the first objective against the second one.

    A search with a single objective is drawn against latency.
    """
    goal = run.objectives.names[0]
    other = (*run.objectives.names, "latency_ms" if goal != "latency_ms" else "params")[1]
    figure = go.Figure()
    for name, trials, symbol in (("trial", run.trials, "circle"), ("Pareto front", run.front, "star")):
        shown = [t for t in trials if t.metrics is not None and {goal, other} <= t.metrics.keys()]
        figure.add_scatter(
            x=[(trial.metrics or {})[other] for trial in shown],
            y=[(trial.metrics or {})[goal] for trial in shown],
            name=name,
            mode="markers",
            marker={"symbol": symbol, "size": 9 if symbol == "circle" else 13},
            text=[f"trial {trial.number}<br>{_values(trial.metrics or {})}" for trial in shown],
            hoverinfo="text",
        )
    figure.update_layout(xaxis_title=title_of(other), yaxis_title=title_of(goal))
    return figure


def learning(metrics: Mapping[str, Any], teacher: Mapping[str, Any] | None) -> go.Figure:
    """Validation F1 and loss of a student, epoch by epoch."""
    epochs = metrics["history"]
    figure = make_subplots(rows=1, cols=2, horizontal_spacing=0.09)
    at = [epoch["epoch"] for epoch in epochs]
    for column, name, title in ((1, "val_f1", "val F1"), (2, "loss", "training loss")):
        figure.add_scatter(
            x=at,
            y=[epoch[name] for epoch in epochs],
            mode="lines+markers" if len(at) < 60 else "lines",
            marker={"size": 5},
            line={"color": _BLUE},
            showlegend=False,
            name=title,
            row=1,
            col=column,
        )
        figure.update_xaxes(title_text="epoch", row=1, col=column)
        figure.update_yaxes(title_text=title, row=1, col=column)
    kept = next((epoch for epoch in epochs if epoch["epoch"] == metrics["epoch"]), None)
    if kept is not None:
        figure.add_scatter(
            x=[kept["epoch"]],
            y=[kept["val_f1"]],
            mode="markers",
            marker={"symbol": "star", "size": 13, "color": _ORANGE},
            name="kept epoch",
            row=1,
            col=1,
        )
    if teacher is not None:
        figure.add_scatter(
            x=[at[0], at[-1]],
            y=[teacher["val_f1"]] * 2,
            mode="lines",
            line={"dash": "dash", "color": _GREY},
            name="teacher",
            row=1,
            col=1,
        )
    figure.update_layout(legend={"orientation": "h", "y": 1.14}, margin=_MARGIN)
    return figure


def _trials(trials: Sequence[Mapping[str, Any]], goal: str, name: str, marker: dict[str, Any]) -> Any:
    return go.Scatter(
        x=[trial["number"] for trial in trials],
        y=[trial["metrics"][goal] for trial in trials],
        name=name,
        mode="markers",
        marker=marker,
        text=[f"trial {trial['number']}<br>{_values(trial['metrics'])}" for trial in trials],
        hoverinfo="text",
    )


def _not_of(networks: Sequence[Network], those: Collection[tuple[int, ...]]) -> list[Network]:
    return [network for network in networks if network.numbers not in those]


def _axis(figure: go.Figure, metric: str, values: Sequence[float], place: dict[str, int]) -> None:
    unit = ", ms" if metric == "latency_ms" else ""
    figure.update_xaxes(title_text=f"{TITLES.get(metric, metric)}{unit}", **place)
    if values and min(values) > 0 and max(values) / min(values) > _WIDE:
        figure.update_xaxes(type="log", dtick="D2", **place)


def _limits(
    figure: go.Figure,
    limits: Sequence[Limit],
    upward: str,
    across: str,
    values: Sequence[float],
    place: dict[str, int],
) -> None:
    """Dotted lines at the limits, where they are near what was tried."""
    for limit in limits:
        look = {"line_dash": "dot", "line_color": _RED, "line_width": 1, **place}
        if limit.metric == across and values and limit.value <= 1.5 * max(values):
            figure.add_vline(x=limit.value, **look)
        elif limit.metric == upward:
            figure.add_hline(y=limit.value, **look)


def _hover(network: Network) -> str:
    """What a point says: trial numbers, metrics, choices about the whole network."""
    numbers = ", ".join(map(str, network.numbers))
    mean = f" (mean of trials {numbers})" if len(network.numbers) > 1 else ""
    general = [f"{name} {option}" for name, option in network.choices.items() if "." not in name]
    return (
        f"trial {network.number}{mean}<br>{_values(network.metrics)}<br>{text(_cut(', '.join(general)))}"
    )


def _values(metrics: Mapping[str, float]) -> str:
    shown = [f"{TITLES[name]} {metric_text(name, metrics[name])}" for name in TITLES if name in metrics]
    return "<br>".join(shown)


def _cut(line: str) -> str:
    return line if len(line) <= 120 else f"{line[:117]}..."
