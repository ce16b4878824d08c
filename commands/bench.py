"""``bench``: strategies compared on a table of networks that have all been trained."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from rich import box
from rich.table import Table as Grid

from commands.bench_page import regret_page
from commands.console import output, say
from commands.progress import counting
from commands.settings import named_options
from nas.bench.regret import Floats, Summary, Trajectory
from nas.bench.run import Job, check_options, run_all
from nas.files import write_text


def compare_strategies(
    job: Job,
    strategies: Sequence[str],
    *,
    options: Sequence[str],
    runs: int,
    json_file: Path | None,
    html_file: Path | None,
) -> None:
    """Run every strategy, print one table, and write what was asked for.

    Args:
        job: all but the strategy and its options.
        strategies: names.
        options: ``name=value``; each applies to the strategies that have it.
        runs: of each strategy.
        json_file: for every run's curves.
        html_file: for the plot.

    Raises:
        UserError: a name, an option, a limit or the table is wrong.
    """
    names = list(dict.fromkeys(strategies))
    parsed = named_options("--strategy-option", list(options))
    check_options(names, parsed)
    results: dict[str, list[Trajectory]] = {}
    for name in names:
        with counting(name) as progress:
            job_of = replace(job, strategy=name, options=parsed)
            results[name] = run_all(job_of, runs, progress=progress)
        if json_file is not None:  # after each, so that an interruption loses little
            write_text(json_file, json.dumps(_record(job, results), indent=1) + "\n")
    output().print(_grid(job, results, runs))
    if html_file is not None:
        write_text(html_file, regret_page(_title(job, runs), results))
    for path in (json_file, html_file):
        if path is not None:
            say(f"wrote {path}")


def _grid(job: Job, results: Mapping[str, Sequence[Trajectory]], runs: int) -> Grid:
    half, whole = max(1, job.trials // 2), job.trials
    grid = Grid(
        title=_title(job, runs),
        caption="regret in points, mean ± standard error; front: share of its hypervolume; ask: median",
        box=box.SIMPLE_HEAD,
        title_justify="left",
        caption_justify="left",
    )
    grid.add_column("strategy", no_wrap=True)
    titles = [f"selected,\nN = {half}", f"selected,\nN = {whole}", f"visited,\nN = {whole}"]
    fronts = all(run.hypervolume.size for of in results.values() for run in of)
    titles += [f"front,\nN = {whole}"] if fronts else []
    for title in (*titles, "dupli-\ncates", "over\nlimit", "ask"):
        grid.add_column(title, justify="right", no_wrap=True)
    for name, of in results.items():
        selected = Summary.of([run.selected for run in of])
        cells = [_cell(selected, half), _cell(selected, whole)]
        cells.append(_cell(Summary.of([run.visited for run in of]), whole))
        if fronts:
            cells.append(_cell(Summary.of([run.hypervolume for run in of]), whole))
        cells.append(f"{np.mean([run.duplicates for run in of]):.3g}")
        cells.append(f"{np.mean([run.over_limit for run in of]):.3g}")
        cells.append(f"{1e3 * float(np.nanmedian([run.ask_seconds for run in of])):.2g} ms")
        grid.add_row(name, *cells)
    return grid


def _cell(summary: Summary, evaluations: int) -> str:
    at = min(evaluations, len(summary.mean)) - 1
    mean, error = summary.mean[at], summary.error[at]
    return f"{mean:.3f}" if np.isnan(error) else f"{mean:.3f} ± {error:.3f}"


def _title(job: Job, runs: int) -> str:
    wants = ", ".join([*job.goals, *job.limits])
    parts = [f"{job.table.name}: {wants}", f"{runs} runs of {job.trials} evaluations"]
    parts += [f"the last {job.confirm} to confirm"] if job.confirm else []
    parts += [f"{job.workers} workers"] if job.workers > 1 else []
    return "; ".join(parts)


def _record(job: Job, results: Mapping[str, Sequence[Trajectory]]) -> dict[str, Any]:
    settings = {
        "table": job.table.name,
        "space": job.space,
        "objectives": list(job.goals),
        "limits": list(job.limits),
        "trials": job.trials,
        "confirm": job.confirm,
        "workers": job.workers,
        "seed": job.seed,
    }
    strategies = {
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
    return {"settings": settings, "strategies": strategies}


def _numbers(values: Floats) -> list[float | None]:
    """JSON has no NaN."""
    return [None if np.isnan(value) else round(float(value), 6) for value in values]
