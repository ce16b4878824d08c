"""``bench``: strategies compared on a table of networks that have all been trained."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from core.files import write_text
from minnow.bench_table import curves, regret_grid
from minnow.console import output, say
from minnow.progress import ConsoleListener
from minnow.report.bench_page import regret_page
from nas.bench.regret import Trajectory
from nas.bench.simulation import Job, check_options, run_all


def compare_strategies(
    job: Job,
    strategies: Sequence[str],
    *,
    options: Mapping[str, Any],
    runs: int,
    json_file: Path | None,
    html_file: Path | None,
) -> None:
    """Run every strategy, print one table, and write what was asked for.

    Args:
        job: all but the strategy and its options.
        strategies: names.
        options: by name; each applies to the strategies that have it.
        runs: of each strategy.
        json_file: for every run's curves.
        html_file: for the plot.

    Raises:
        UserError: a name, an option, a limit or the table is wrong.
    """
    names = list(dict.fromkeys(strategies))
    check_options(names, options)
    results: dict[str, list[Trajectory]] = {}
    for name in names:
        with ConsoleListener() as listener:
            strategy_job = replace(job, strategy=name, options=dict(options))
            results[name] = run_all(strategy_job, runs, progress=partial(listener.count, name))
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
    return {"settings": settings, "strategies": curves(results)}
