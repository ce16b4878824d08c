"""Strategies on NAS-Bench-Macro under several limits, with workers, shuffled options, and elsewhere.

Usage, in the repository:

    python benchmarks/strategies.py OUT.json --table nas-bench-macro_cifar10.json [--runs 200]
        [--rows PATTERN] [--strategy NAME ...] [--processes N]

Prints regret in points, mean and standard error; see `cli.py bench strategies --help` for the protocol.
Rows that OUT holds are not run again. A row's name has the limit (the share of networks that meet it),
N, K where the last K evaluations confirm, and W where W trials run at a time.
"""

from __future__ import annotations

import argparse
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from shuffled_space import Shuffled

from core.files import write_text
from nas.bench.regret import CurveSummary, Trajectory
from nas.bench.simulated_runs import run_all
from nas.bench.simulation import Job
from nas.bench.table import Table
from nas.executors import Placement
from nas.executors.executor_checks import SilentWatcher
from nas.spaces.macro import Macro

_SHARES = (
    ("macs", 0.1),
    ("macs", 0.25),
    ("macs", 0.5),
    ("params", 0.1),
    ("params", 0.25),
    ("params", 0.5),
)
_SHUFFLED = "./benchmarks/shuffled_space.py:Shuffled"
_STAGES = "./benchmarks/stages_space.py:Stages"
_STAGES_TABLE = Path("benchmarks/stages_digits.json")


def main() -> None:
    """Run the missing rows, and print all."""
    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=Path)
    parser.add_argument("--table", type=Path, required=True)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--rows", default=".*")
    parser.add_argument("--strategy", action="append")
    parser.add_argument("--processes", type=int)
    options = parser.parse_args()
    placement = None if options.processes is None else Placement(workers=options.processes)
    done: dict[str, Any] = json.loads(options.out.read_text()) if options.out.exists() else {}
    shuffled = options.out.with_suffix(".shuffled.json")
    shuffle(options.table, shuffled)
    for name, job in rows(options.table, shuffled).items():
        if not re.search(options.rows, name):
            continue
        for strategy in options.strategy or ["gp"]:
            key = f"{name}, {strategy}"
            if done.get(key, {}).get("runs", 0) < options.runs:
                chosen = replace(job, strategy=strategy)
                runs = run_all(chosen, options.runs, SilentWatcher(), placement=placement)
                done[key] = summary(runs)
                write_text(options.out, json.dumps(done, indent=1) + "\n")
            print(f"| {key} | " + " | ".join(f"{k} {v}" for k, v in done[key].items()) + " |", flush=True)


def rows(path: Path, shuffled: Path) -> dict[str, Job]:
    """Return all jobs by name, with gp as the strategy."""
    table = Table.read(path, Macro())
    limits: dict[str, tuple[str, ...]] = {"no limit": ()}
    for metric, share in _SHARES:
        bound = int(np.quantile([getattr(row, metric) for row in table.rows.values()], share))
        limits[f"{metric} {share:.0%}"] = (f"{metric}<={bound}",)
    limits["macs 45.5M"] = ("macs<=45.5M",)
    jobs = {}
    for trials in (50, 100):
        for confirm in (0, trials // 10, trials // 5, 3 * trials // 10):
            ending = f", N={trials}" + (f", K={confirm}" if confirm else "")
            for name, bounds in limits.items():
                jobs[name + ending] = Job(path, "gp", trials, limits=bounds, confirm=confirm)
            if _STAGES_TABLE.exists():
                jobs["stages" + ending] = Job(_STAGES_TABLE, "gp", trials, space=_STAGES, confirm=confirm)
            jobs["shuffled" + ending] = Job(shuffled, "gp", trials, space=_SHUFFLED, confirm=confirm)
    jobs["no limit, N=100, W=8"] = Job(path, "gp", 100, workers=8)
    jobs["no limit, N=100, K=20, W=8"] = Job(path, "gp", 100, confirm=20, workers=8)
    for cost in ("macs", "params"):
        jobs[f"accuracy and {cost}, N=200"] = Job(path, "gp", 200, goals=("accuracy:max", f"{cost}:min"))
    return jobs


def shuffle(path: Path, shuffled: Path) -> None:
    """Write the table of the shuffled space."""
    space, content = Shuffled(), json.loads(path.read_text())
    codes = {point: "".join(map(str, space.original(point))) for point in space.points()}
    moved = {"".join(map(str, point)): content[code] for point, code in codes.items()}
    write_text(shuffled, json.dumps(moved))


def summary(runs: list[Trajectory]) -> dict[str, Any]:
    """Return the means at the end, with their standard errors."""
    found: dict[str, Any] = {"runs": len(runs)}
    for name in ("selected", "visited", "hypervolume"):
        curves = [getattr(run, name) for run in runs]
        if all(len(curve) for curve in curves):
            end = CurveSummary.of(curves)
            found[name] = f"{end.mean[-1]:.4f} ± {end.error[-1]:.4f}"
    found["duplicates"] = sum(run.duplicates for run in runs)
    found["over the limit"] = sum(run.over_limit for run in runs)
    found["ask"] = f"{1e3 * np.median([run.ask_seconds for run in runs]):.1f} ms"
    return found


if __name__ == "__main__":
    main()
