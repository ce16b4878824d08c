"""The plot of a comparison of strategies, as one HTML page that opens offline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go
from plotly.colors import qualitative
from plotly.subplots import make_subplots

from minnow.report.rendering import plot, render_page
from nas.bench.regret import CurveSummary, Floats, Trajectory

_LEAST = 1e-3  # percentage points of regret that the logarithmic axis shows for 0
_PANELS = (
    ("selected", "regret of the selected network, points"),
    ("visited", "regret of the best network visited, points"),
    ("hypervolume", "share of the front's hypervolume"),
)


def regret_page(title: str, results: Mapping[str, Sequence[Trajectory]]) -> str:
    """Return HTML with one panel per measure: the median over runs in a quartile band.

    Args:
        title: of the page.
        results: strategy to its runs.
    """
    fronts = all(run.hypervolume.size for runs in results.values() for run in runs)
    panels = _PANELS if fronts else _PANELS[:2]
    figure = make_subplots(rows=1, cols=len(panels), subplot_titles=[label for _, label in panels])
    for index, (name, runs) in enumerate(results.items()):
        colour = qualitative.D3[index % len(qualitative.D3)]
        for column, (measure, _) in enumerate(panels, start=1):
            summary = CurveSummary.of([getattr(run, measure) for run in runs])
            least = 0.0 if measure == "hypervolume" else _LEAST
            for trace in _traces(name, summary, colour, least, legend=column == 1):
                figure.add_trace(trace, row=1, col=column)
    for column, (measure, _) in enumerate(panels, start=1):
        figure.update_xaxes(title_text="evaluations", rangemode="tozero", row=1, col=column)
        if measure != "hypervolume":
            figure.update_yaxes(type="log", dtick=1, row=1, col=column)
    figure.update_layout(hovermode="x unified", legend={"orientation": "h", "y": -0.15})
    regret = plot(figure, "regret", 600)
    return render_page("bench.html.jinja", title, plots=True, least=f"{_LEAST:g}", regret=regret)


def _traces(name: str, summary: CurveSummary, colour: str, least: float, *, legend: bool) -> list[Any]:
    """Return the band's upper edge, its lower edge filled up to it, and the median."""
    evaluations = np.arange(1, len(summary.median) + 1)

    def line(values: Floats, **style: Any) -> go.Scatter:
        return go.Scatter(
            x=evaluations,
            y=np.maximum(values, least),
            name=name,
            legendgroup=name,
            mode="lines",
            **style,
        )

    hidden = {"line": {"width": 0, "color": colour}, "showlegend": False, "hoverinfo": "skip"}
    red, green, blue = (int(colour[at : at + 2], 16) for at in (1, 3, 5))
    fill = f"rgba({red}, {green}, {blue}, 0.15)"
    return [
        line(summary.upper, **hidden),
        line(summary.lower, fill="tonexty", fillcolor=fill, **hidden),
        line(summary.median, line={"width": 2, "color": colour}, showlegend=legend),
    ]
