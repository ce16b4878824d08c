"""Results of runs on a benchmark's table, as a table and as plain data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from rich import box
from rich.table import Table as Grid

from nas.bench.regret import CurveSummary, Floats, Trajectory


def regret_grid(
    title: str, results: Mapping[str, Sequence[Trajectory]], counts: Sequence[int], what: str
) -> Grid:
    """One row per entry of ``results``, with means and standard errors over its runs.

    Args:
        title: of the table.
        results: name to runs.
        counts: evaluations after which the selected regret is shown, ascending; all else is shown after
            the last of them.
        what: is named.
    """
    grid = Grid(
        title=title,
        caption="regret in points, mean ± standard error; front: share of its hypervolume; ask: median",
        box=box.SIMPLE_HEAD,
        title_justify="left",
        caption_justify="left",
    )
    end = counts[-1]
    grid.add_column(what, no_wrap=True)
    titles = [f"selected,\nN = {count}" for count in counts] + [f"visited,\nN = {end}"]
    fronts = all(run.hypervolume.size for of in results.values() for run in of)
    titles += [f"front,\nN = {end}"] if fronts else []
    for each in (*titles, "dupli-\ncates", "over\nlimit", "ask"):
        grid.add_column(each, justify="right", no_wrap=True)
    for name, of in results.items():
        selected = CurveSummary.of([run.selected for run in of])
        cells = [_cell(selected, count) for count in counts]
        cells.append(_cell(CurveSummary.of([run.visited for run in of]), end))
        if fronts:
            cells.append(_cell(CurveSummary.of([run.hypervolume for run in of]), end))
        cells.append(f"{np.mean([run.duplicates for run in of]):.3g}")
        cells.append(f"{np.mean([run.over_limit for run in of]):.3g}")
        cells.append(f"{1e3 * float(np.nanmedian([run.ask_seconds for run in of])):.2g} ms")
        grid.add_row(name, *cells)
    return grid


def curves(results: Mapping[str, Sequence[Trajectory]]) -> dict[str, list[dict[str, Any]]]:
    """Every run's curves, for JSON; a regret without a network within the limits is null."""
    return {
        name: [
            {
                "selected": _numbers(run.selected),
                "visited": _numbers(run.visited),
                "hypervolume": _numbers(run.hypervolume),
                "duplicates": run.duplicates,
                "over_limit": run.over_limit,
                "ask_seconds": run.ask_seconds,
            }
            for run in of
        ]
        for name, of in results.items()
    }


def _cell(summary: CurveSummary, evaluations: int) -> str:
    at = min(evaluations, len(summary.mean)) - 1
    mean, error = summary.mean[at], summary.error[at]
    return f"{mean:.3f}" if np.isnan(error) else f"{mean:.3f} ± {error:.3f}"


def _numbers(values: Floats) -> list[float | None]:
    """JSON has no NaN."""
    return [None if np.isnan(value) else round(float(value), 6) for value in values]
