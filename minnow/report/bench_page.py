"""The plot of a comparison of strategies, as one HTML page that needs no network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go
from plotly.colors import qualitative
from plotly.subplots import make_subplots

from minnow.report.html import page, plot, text
from nas.bench.regret import CurveSummary, Floats, Trajectory

_LEAST = 1e-3  # regret that the logarithmic axis shows for 0, points
_PANELS = (
    ("selected", "regret of the selected network, points"),
    ("visited", "regret of the best network visited, points"),
    ("hypervolume", "share of the front's hypervolume"),
)


def regret_page(title: str, results: Mapping[str, Sequence[Trajectory]]) -> str:
    """HTML with one panel per measure: the median over runs in a quartile band.

    Args:
        title: of the page.
        results: strategy to its runs.
    """
    fronts = all(run.hypervolume.size for of in results.values() for run in of)
    panels = _PANELS if fronts else _PANELS[:2]
    figure = make_subplots(rows=1, cols=len(panels), subplot_titles=[text for _, text in panels])
    for index, (name, of) in enumerate(results.items()):
        colour = qualitative.D3[index % len(qualitative.D3)]
        for column, (measure, _) in enumerate(panels, start=1):
            summary = CurveSummary.of([getattr(run, measure) for run in of])
            least = 0.0 if measure == "hypervolume" else _LEAST
            for trace in _traces(name, summary, colour, least, legend=column == 1):
                figure.add_trace(trace, row=1, col=column)
    for column, (measure, _) in enumerate(panels, start=1):
        figure.update_xaxes(title_text="evaluations", rangemode="tozero", row=1, col=column)
        if measure != "hypervolume":
            figure.update_yaxes(type="log", dtick=1, row=1, col=column)
    figure.update_layout(hovermode="x unified", legend={"orientation": "h", "y": -0.15})
    says = f"Median over runs, quartile band; {_LEAST:g} stands for less."
    return page(title, [f"<h1>{text(title)}</h1>", f"<p>{text(says)}</p>", plot(figure, "regret", 600)])


def _traces(name: str, summary: CurveSummary, colour: str, least: float, *, legend: bool) -> list[Any]:
    """The band's upper edge, its lower edge filled up to it, and the median."""
    evaluations = np.arange(1, len(summary.median) + 1)

    def line(values: Floats, **how: Any) -> go.Scatter:
        return go.Scatter(
            x=evaluations,
            y=np.maximum(values, least),
            name=name,
            legendgroup=name,
            mode="lines",
            **how,
        )

    hidden = {"line": {"width": 0, "color": colour}, "showlegend": False, "hoverinfo": "skip"}
    red, green, blue = (int(colour[at : at + 2], 16) for at in (1, 3, 5))
    fill = f"rgba({red}, {green}, {blue}, 0.15)"
    return [
        line(summary.upper, **hidden),
        line(summary.lower, fill="tonexty", fillcolor=fill, **hidden),
        line(summary.median, line={"width": 2, "color": colour}, showlegend=legend),
    ]
