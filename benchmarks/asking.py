"""Proposals per second that a strategy makes for many workers.

Usage: OMP_NUM_THREADS=1 python benchmarks/asking.py [--strategy NAME]... [--trials N]... [--json FILE]

The told trials come from a run of ``evolution`` on the synthetic F1 of ``ask_speed.py``, under a limit on
MACs that binds. Then every worker asks at once ("first asks", as when a search starts or resumes). In the
steady state that follows, a pending trial is told, drawn evenly, and its worker asks again. Tells count,
as a proposal waits for them. Times are those of the processor, summed over threads; on a busy machine
they are longer, since caches are shared.
"""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from ask_speed import CLASSES, Landscape, grid_of, history

import nas.spaces
import nas.strategies
from minnow.console import output
from nas.objectives import Objectives
from nas.strategies import Strategy
from nas.trial import Trial

TRIALS = [0, 200, 1_000]
GOALS = ["f1:max"]
STRATEGIES = ["gp", "tpe", "evolution", "random"]
SPACES = ["macro", "mobilenet"]
LIMITS = {"macro": "macs<=60M", "mobilenet": "macs<=5M"}  # 56 % and 1.6 % of the networks meet them


@dataclass(frozen=True)
class Rate:
    """One row: proposals per second.

    Attributes:
        space: name of the search space.
        strategy: name of the strategy.
        trials: told before the first ask.
        first: over the first asks, one per worker.
        steady: over one tell and one ask per further trial.
        slowest_ms: time of the slowest of these pairs, in milliseconds.
    """

    space: str
    strategy: str
    trials: int
    first: float
    steady: float
    slowest_ms: float


def measure(
    space: str,
    name: str,
    strategy: Strategy,
    told: list[Trial],
    landscape: Landscape,
    workers: int,
    asks: int,
) -> Rate:
    """Tell a strategy a history, let every worker ask, then tell and ask ``asks`` times in turn."""
    rng = np.random.default_rng(0)
    for trial in told:
        strategy.tell(trial)
    start = time.process_time()
    running = [strategy.ask() for _ in range(workers)]
    first = time.process_time() - start
    seconds = []
    for _ in range(asks):
        trial = landscape(running.pop(int(rng.integers(workers))))
        start = time.process_time()
        strategy.tell(trial)
        running.append(strategy.ask())
        seconds.append(time.process_time() - start)
    return Rate(space, name, len(told), workers / first, asks / sum(seconds), 1e3 * max(seconds))


def main(
    strategy: Annotated[list[str], typer.Option(help="Strategy; repeat for several.")] = STRATEGIES,
    trials: Annotated[
        list[int], typer.Option(help="Number of told trials; repeat for several.")
    ] = TRIALS,
    workers: Annotated[int, typer.Option(help="Number of pending trials.", min=1)] = 64,
    asks: Annotated[int, typer.Option(help="Number of asks in the steady state.", min=1)] = 200,
    space: Annotated[list[str], typer.Option(help="Search space; repeat for several.")] = SPACES,
    goals: Annotated[list[str], typer.Option("--objective", help="Goal; repeat for several.")] = GOALS,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="File to write the numbers to.")
    ] = None,
) -> None:
    """Print one table per space."""
    console, rates = output(), []
    for space_name in space:
        made = nas.spaces.load(space_name)()
        limits = [LIMITS[space_name]] if space_name in LIMITS else []
        objectives, landscape = Objectives.parse(goals, limits), Landscape(made)
        whole = history(made, objectives, landscape, max(trials))
        grid = grid_of(
            f"{space_name}, {', '.join([*goals, *limits])}; {workers} workers, {asks} asks",
            "proposals per second; slowest: one tell and one ask",
            ("told", "first asks", "steady", "slowest, ms"),
        )
        for name in strategy:
            for count in trials:
                subject = nas.strategies.load(name)(made, objectives, num_classes=CLASSES)
                rate = measure(space_name, name, subject, whole[:count], landscape, workers, asks)
                rates.append(rate)
                grid.add_row(
                    name,
                    f"{count:,}",
                    f"{rate.first:.0f}",
                    f"{rate.steady:.0f}",
                    f"{rate.slowest_ms:.0f}",
                )
        console.print(grid)
        if json_file is not None:
            json_file.write_text(json.dumps([asdict(rate) for rate in rates], indent=1) + "\n")


if __name__ == "__main__":
    typer.run(main)
