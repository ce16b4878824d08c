"""``bench``: strategies compared on a table of trained networks, and an evaluator's ranking, printed."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from rich import box
from rich.table import Table
from rich.table import Table as Grid

from core.files import write_text
from core.output_path import check_file
from minnow.console import output, say
from minnow.format import counted
from minnow.progress import ConsoleListener
from minnow.ranking import FILE, Ranking, agreement, better_half, tau
from minnow.report.bench_page import regret_page
from nas.bench.regret import CurveSummary, Floats, Trajectory
from nas.bench.simulated_runs import run_all
from nas.bench.simulation import Job, check_options
from nas.executors import Placement


def compare_strategies(
    job: Job,
    strategies: Sequence[str],
    *,
    options: Mapping[str, Any],
    runs: int,
    executor: str = "local",
    json_file: Path | None,
    html_file: Path | None,
) -> None:
    """Run every strategy, print one table, and write what was asked for.

    Args:
        job: all but the strategy and its options.
        strategies: names.
        options: by name; each applies to the strategies that have it.
        runs: of each strategy.
        executor: where they are simulated; ``local`` is in one process per core.
        json_file: for every run's curves.
        html_file: for the plot.

    Raises:
        UserError: a name, an option, a limit or the table is wrong.
    """
    for path in (json_file, html_file):
        if path is not None:
            check_file(path)
    names = list(dict.fromkeys(strategies))
    check_options(names, options)
    placement = None if executor == "local" else Placement(executor)
    results: dict[str, list[Trajectory]] = {}
    for name in names:
        with ConsoleListener() as listener:
            strategy_job = replace(job, strategy=name, options=dict(options))
            progress = partial(listener.count, name)
            results[name] = run_all(strategy_job, runs, listener, placement=placement, progress=progress)
        if json_file is not None:  # after each, so that an interruption loses little
            write_text(json_file, json.dumps(_record(job, results), indent=1) + "\n")
    counts = (max(1, job.trials // 2), job.trials)
    output().print(regret_grid(_title(job, runs), results, counts, "strategy"))
    if html_file is not None:
        write_text(html_file, regret_page(_title(job, runs), results))
    for path in (json_file, html_file):
        if path is not None:
            say(f"wrote {path}")


def _title(job: Job, runs: int) -> str:
    wants = ", ".join([*job.goals, *job.limits])
    parts = [
        f"{job.table.name}: {wants}",
        f"{counted(runs, 'run')} of {counted(job.trials, 'evaluation')}",
    ]
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
    return {"settings": settings, "strategies": curves(results)}


def regret_grid(
    title: str, results: Mapping[str, Sequence[Trajectory]], counts: Sequence[int], what: str
) -> Grid:
    """Return a table with a row per entry of ``results``: means and standard errors over its runs.

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
    fronts = all(run.hypervolume.size for runs in results.values() for run in runs)
    titles += [f"front,\nN = {end}"] if fronts else []
    for column in (*titles, "dupli-\ncates", "over\nlimit", "ask"):
        grid.add_column(column, justify="right", no_wrap=True)
    for name, runs in results.items():
        selected = CurveSummary.of([run.selected for run in runs])
        cells = [_cell(selected, count) for count in counts]
        cells.append(_cell(CurveSummary.of([run.visited for run in runs]), end))
        if fronts:
            cells.append(_cell(CurveSummary.of([run.hypervolume for run in runs]), end))
        cells.append(f"{np.mean([run.duplicates for run in runs]):.3g}")
        cells.append(f"{np.mean([run.over_limit for run in runs]):.3g}")
        cells.append(f"{1e3 * float(np.nanmedian([run.ask_seconds for run in runs])):.2g} ms")
        grid.add_row(name, *cells)
    return grid


def curves(results: Mapping[str, Sequence[Trajectory]]) -> dict[str, list[dict[str, Any]]]:
    """Return every run's curves, for JSON; a regret without a network within the limits is null."""
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
            for run in runs
        ]
        for name, runs in results.items()
    }


def _cell(summary: CurveSummary, evaluations: int) -> str:
    at = min(evaluations, len(summary.mean)) - 1
    mean, error = summary.mean[at], summary.error[at]
    return f"{mean:.3f}" if np.isnan(error) else f"{mean:.3f} ± {error:.3f}"


def _numbers(values: Floats) -> list[float | None]:
    """Return the numbers for JSON, which has no NaN."""
    return [None if np.isnan(value) else round(float(value), 6) for value in values]


def show_ranking(rows: Sequence[Mapping[str, Any]], job: Ranking) -> None:
    """Print how well the evaluator's scores, MACs and params rank the trained networks."""
    output().print(_table(rows, job))
    say(f"every training in {job.run / FILE}")


def _table(rows: Sequence[Mapping[str, Any]], job: Ranking) -> Table:
    """Rank correlations with the F1 after training, test and validation."""
    one, ten = (statistics.median(row[name] for row in rows) for name in ("seconds", "trained_seconds"))
    networks = {row["network"]: row for row in rows}
    of_each = "each" if job.trainings == 1 else f"{job.trainings} trainings of each"
    title = (
        f"Kendall's tau with F1 after {job.epochs} epochs of {of_each} of {len(networks)} networks "
        f"(90 % interval); judging one takes {one:.1f} s, training it {ten:.0f} s (1/{ten / one:.0f})"
    )
    table = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left")
    for column in ("", "test F1", "test F1, better half", "validation F1"):
        table.add_column(column, justify="left" if not column else "right")
    test, val = (_by_training(rows, list(networks), name) for name in ("test_f1", "val_f1"))
    truth = test.mean(axis=1).tolist()
    for name, label in (("f1", "the evaluator"), ("macs", "MACs"), ("params", "params")):
        scores = [row[name] for row in networks.values()]
        taus = [tau(scores, truth), tau(*better_half(scores, truth)), tau(scores, val.mean(axis=1))]
        table.add_row(label, *map(str, taus))
    if job.trainings > 1:
        again = [f"{agreement(val, truth):.2f}" for truth in (test, val)]
        table.add_row("another training's validation F1", again[0], "", again[1])
    return table


def _by_training(rows: Sequence[Mapping[str, Any]], networks: Sequence[str], name: str) -> np.ndarray:
    """Return a column of the rows, ``(networks, trainings)``."""
    scores = {(row["network"], row["seed"]): row[name] for row in rows}
    seeds = sorted({seed for _, seed in scores})
    return np.array([[scores[network, seed] for seed in seeds] for network in networks])
