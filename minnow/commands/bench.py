"""The commands ``bench strategies`` and ``bench ranking``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from typer import Argument, Option

from core.config import SearchConfig
from core.config_io import dotted
from minnow.commands.options import SEARCH, named_values, with_settings

app = typer.Typer(
    no_args_is_help=True, help="Compare search strategies, or check how a search ranks networks."
)

_CODE = ("space.name", "loss.name", "loss.options", "loss.features")  # that a ranking may run


@app.command("strategies")
def bench_strategies(
    table: Annotated[
        Path,
        Option(help="JSON file with every network of a space, trained, as NAS-Bench-Macro has them."),
    ],
    strategy: Annotated[
        list[str],
        Option(help="A name from 'plugins', package.module:Class or ./file.py:Class. Repeatable."),
    ],
    space: Annotated[str, Option(help="The table's search space.")] = "macro",
    trials: Annotated[
        int, Option(help="Evaluations of each run; regret is also shown at half of them.", min=1)
    ] = 100,
    runs: Annotated[int, Option(help="Runs of each strategy; differences need 50 or more.", min=1)] = 50,
    objective: Annotated[
        list[str] | None,
        Option(
            help="Objective; first f1:max or accuracy:max, the same here. A second one, macs:min or "
            "params:min, adds the share of the front's hypervolume. (default: f1:max)"
        ),
    ] = None,
    limit: Annotated[
        list[str] | None, Option(help="Bound, as in 'macs<=45.5M' or 'params<=1.2M'. Repeatable.")
    ] = None,
    confirm: Annotated[
        int,
        Option(help="Evaluations at the end that repeat the best networks, as in 'search'.", min=0),
    ] = 0,
    workers: Annotated[
        int, Option(help="Trials at a time; each lasts in proportion to its MACs.", min=1)
    ] = 1,
    seed: Annotated[int, Option(help="Seed of all runs.", min=0)] = 0,
    executor: Annotated[
        str,
        Option(help="Where the runs are simulated: local, in a process per core, ray or ray:ADDRESS."),
    ] = "local",
    strategy_option: Annotated[
        list[str] | None,
        Option(help="Option of a strategy, as in startup=5; applies to those that have it. Repeatable."),
    ] = None,
    json_file: Annotated[
        Path | None, Option("--json", help="File for every run's curves, to work with further.")
    ] = None,
    html_file: Annotated[
        Path | None, Option("--html", help="File for a page that plots regret against evaluations.")
    ] = None,
) -> None:
    """Compare strategies on a table of trained networks: hundreds of searches in minutes.

    Example: bench strategies --table FILE --strategy random --strategy tpe --limit 'macs<=45.5M'

    An evaluation draws one of a network's recorded accuracies. The regret of a run is the difference in
    true mean accuracy, in points, between the best network within the limits and the run's pick; that of
    'visited' is the difference to the best network that the run evaluated.
    """
    from minnow.bench_run import compare_strategies
    from nas.bench.simulation import Job

    job = Job(
        table=table,
        strategy=strategy[0],
        trials=trials,
        space=space,
        goals=tuple(objective or ["f1:max"]),
        limits=tuple(limit or []),
        confirm=confirm,
        workers=workers,
        seed=seed,
    )
    given = named_values("strategy-option", strategy_option or [])
    files = {"json_file": json_file, "html_file": html_file}
    compare_strategies(job, strategy, options=given, runs=runs, executor=executor, **files)


@app.command("ranking")
@with_settings(
    SearchConfig,
    {
        SEARCH: (
            *("run", "networks", "epochs", "trainings", "limit", "seed", "executor", "workers"),
            *_CODE,
        )
    },
    keep=lambda name: name in _CODE,
    defaults=dict.fromkeys(_CODE, "the search's"),
)
def bench_ranking(
    changes: dict[str, Any],
    run: Annotated[Path, Argument(help="Run directory of a search in the space elastic.")],
    networks: Annotated[int, Option(help="Number of networks, spread over the sizes.", min=3)] = 20,
    epochs: Annotated[int, Option(help="Epochs of training each network, with the teacher.", min=1)] = 10,
    trainings: Annotated[
        int,
        Option(
            help="Trainings of each network, with different seeds; two or more also show how well one "
            "training predicts the others' ranking.",
            min=1,
        ),
    ] = 1,
    limit: Annotated[
        list[str] | None, Option(help="Limit on params or macs, as in 'macs<=40M'. Repeatable.")
    ] = None,
    seed: Annotated[int, Option(help="Seed of the choice of networks.", min=0)] = 0,
    executor: Annotated[
        str, Option(help="Where the networks are trained: local, ray or ray:ADDRESS.")
    ] = "local",
    workers: Annotated[
        int | None,
        Option(help="Trainings at a time. (default: 1, or what a cluster has room for)", min=1),
    ] = None,
) -> None:
    """Compare the search's ranking of networks with that after training each of them.

    It takes long, and resumes where it was interrupted. Space and losses are those of the search; they
    need be given only where they are code of your own, in a file or module.

    Example: bench ranking runs/photos --networks 20 --limit 'macs<=40M'
    """
    from minnow.bench_run import show_ranking
    from minnow.console import interruptible
    from minnow.progress import ConsoleListener
    from minnow.ranking import Ranking, rank
    from nas.executors import Placement

    code = dotted(SearchConfig, changes)
    place = Placement(executor, workers)
    job = Ranking(run, networks, epochs, trainings, tuple(limit or ()), seed, code, place)
    with ConsoleListener() as listener, interruptible(*sys.argv[1:]):
        rows = rank(job, listener)
    show_ranking(rows, job)
