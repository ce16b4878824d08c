"""Time of one ask and one tell, for every strategy, after many told trials.

Usage: OMP_NUM_THREADS=1 python benchmarks/ask_speed.py [--strategy NAME]... [--trials N]... [--json FILE]

The told trials come from a run of ``evolution`` in the same space on a synthetic F1 (a smooth function of
the choices and the MACs, and noise), so they crowd around good networks as those of a real search do.
None of them was asked by the timed strategy ("tell, foreign"). Then it asks and is told as in any search
("tell, own"). The first ask comes after all of them at once, as on resuming. Times are those of the
thread's own clock, which other work on the machine disturbs least.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Annotated, TypeVar

import numpy as np
import typer
from rich import box
from rich.table import Table

import nas.spaces
import nas.strategies
from minnow.console import output
from nas.cost import cost
from nas.objectives import Objectives
from nas.spaces import SearchSpace
from nas.strategies import Strategy
from nas.trial import Proposal, Trial

T = TypeVar("T")
CLASSES = 10
TRIALS = [1_000, 10_000]
NOISE = 0.01  # standard deviation of F1 between seeds
SETTINGS = {
    "f1:max, macs<=5M": (["f1:max"], ["macs<=5M"]),
    "f1:max, macs:min": (["f1:max", "macs:min"], []),
}
STRATEGIES = [
    *nas.strategies.REGISTRY.builtins,
    "optuna:RandomSampler",
    "optuna:NSGAIISampler",
    "optuna:NSGAIIISampler",
]


@dataclass(frozen=True)
class Timing:
    """Milliseconds of some calls: the median, the quartiles, and how many calls."""

    median: float
    lower: float
    upper: float
    n: int

    @classmethod
    def of(cls, seconds: Sequence[float]) -> Timing:
        """Return the summary of these times."""
        lower, median, upper = 1e3 * np.percentile(seconds, (25, 50, 75))
        return cls(float(median), float(lower), float(upper), len(seconds))

    def __str__(self) -> str:
        return f"{self.median:.3g} ({self.upper - self.lower:.2g})"


@dataclass(frozen=True)
class Result:
    """One row: tells of the history, the first ask after it, then further asks and tells."""

    setting: str
    trials: int
    strategy: str
    told: Timing
    first_ms: float
    ask: Timing
    tell: Timing


class Landscape:
    """A synthetic F1: effects of the options, of neighbouring decisions together, and of the MACs."""

    def __init__(self, space: SearchSpace) -> None:
        rng = np.random.default_rng(0)
        sizes = [len(decision.options) for decision in space.decisions]
        self._effects = [rng.normal(0, 0.1, size) for size in sizes]
        self._pairs = [rng.normal(0, 0.05, pair) for pair in pairwise(sizes)]

    def __call__(self, proposal: Proposal) -> Trial:
        """Return the outcome of a training, which depends on the network and the seed only."""
        choices = proposal.choices
        total = cost(proposal.architecture, CLASSES)
        value = 0.5 * np.log(total.macs / 1e7)
        value += sum(effect[choice] for effect, choice in zip(self._effects, choices, strict=True))
        value += sum(pair[choices[i], choices[i + 1]] for i, pair in enumerate(self._pairs))
        noise = np.random.default_rng(proposal.seed).normal(0, NOISE)
        f1 = float(np.clip(1 / (1 + np.exp(-value)) + noise, 0, 1))
        return proposal.complete({"f1": f1, "params": total.params, "macs": total.macs})


def history(space: SearchSpace, objectives: Objectives, landscape: Landscape, count: int) -> list[Trial]:
    """Return the trials of an evolutionary search."""
    strategy = nas.strategies.load("evolution")(space, objectives, num_classes=CLASSES)
    for _ in range(count):
        strategy.tell(landscape(strategy.ask()))
    return list(strategy.trials)


def measure(
    setting: str, name: str, strategy: Strategy, told: list[Trial], landscape: Landscape, asks: int
) -> Result:
    """Tell a strategy a history, then ask and tell ``asks`` times after a first ask."""
    tells = [_seconds(partial(strategy.tell, trial))[0] for trial in told]
    first, proposal = _seconds(strategy.ask)
    strategy.tell(landscape(proposal))
    asked, further = [], []
    for _ in range(asks):
        seconds, proposal = _seconds(strategy.ask)
        asked.append(seconds)
        further.append(_seconds(partial(strategy.tell, landscape(proposal)))[0])
    return Result(
        setting, len(told), name, Timing.of(tells), 1e3 * first, Timing.of(asked), Timing.of(further)
    )


def main(
    strategy: Annotated[list[str], typer.Option(help="Strategy; repeat for several.")] = STRATEGIES,
    trials: Annotated[
        list[int], typer.Option(help="Number of told trials; repeat for several.")
    ] = TRIALS,
    asks: Annotated[int, typer.Option(help="Number of asks that are timed, after the first.")] = 25,
    space: Annotated[str, typer.Option(help="Search space.")] = "mobilenet",
    json_file: Annotated[
        Path | None, typer.Option("--json", help="File to write the numbers to.")
    ] = None,
) -> None:
    """Print one table per setting."""
    made = nas.spaces.load(space)()
    landscape, console, results = Landscape(made), output(), []
    for setting, (goals, limits) in SETTINGS.items():
        objectives = Objectives.parse(goals, limits)
        whole = history(made, objectives, landscape, max(trials))
        for count in trials:
            grid = grid_of(
                f"{space}, {setting}: {count:,} told trials, then {asks} asks",
                "milliseconds: median (interquartile range)",
                ("ask", "first ask", "tell, own", "tell, foreign"),
            )
            for name in strategy:
                kind = nas.strategies.load(name)
                subject = kind(made, objectives, num_classes=CLASSES)
                result = measure(setting, name, subject, whole[:count], landscape, asks)
                results.append(result)
                grid.add_row(
                    name, str(result.ask), f"{result.first_ms:.3g}", str(result.tell), str(result.told)
                )
            console.print(grid)
            if json_file is not None:
                json_file.write_text(json.dumps([asdict(result) for result in results], indent=1) + "\n")


def _seconds(call: Callable[[], T]) -> tuple[float, T]:
    start = time.thread_time()
    value = call()
    return time.thread_time() - start, value


def grid_of(title: str, caption: str, columns: Sequence[str]) -> Table:
    """Return an empty table with a row for each strategy."""
    grid = Table(
        title=title, caption=caption, box=box.SIMPLE_HEAD, title_justify="left", caption_justify="left"
    )
    grid.add_column("strategy", no_wrap=True)
    for name in columns:
        grid.add_column(name, justify="right", no_wrap=True)
    return grid


if __name__ == "__main__":
    typer.run(main)
