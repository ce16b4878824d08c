"""``bench``: what a search is worth."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from typer import Argument, Option

app = typer.Typer(no_args_is_help=True, help="Measure search strategies without training anything.")


@app.command("strategies")
def bench_strategies(
    table: Annotated[
        Path,
        Option(help="JSON file of a benchmark that trained every network of a space: NAS-Bench-Macro."),
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
            help="Goal; the first is f1:max or accuracy:max, here the same. A second one, macs:min or "
            "params:min, adds the share of the front's hypervolume. (default: f1:max)"
        ),
    ] = None,
    limit: Annotated[
        list[str] | None, Option(help="Bound, as in 'macs<=45.5M' or 'params<=1.2M'. Repeatable.")
    ] = None,
    confirm: Annotated[
        int,
        Option(help="The last so many evaluations train the best networks again, as in 'search'.", min=0),
    ] = 0,
    workers: Annotated[
        int, Option(help="Trials at a time, in virtual time: they last as long as they have MACs.", min=1)
    ] = 1,
    seed: Annotated[int, Option(help="Of all runs together.", min=0)] = 0,
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

    An evaluation observes one of a network's recorded accuracies at random. The regret of a run is
    what its pick, the network with the best observed mean, lacks to the best network within the limits,
    in points of true mean accuracy; 'visited' is what the best network that it evaluated lacks.
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
    compare_strategies(
        job, strategy, options=strategy_option or [], runs=runs, json_file=json_file, html_file=html_file
    )


@app.command("ranking")
def bench_ranking(
    run: Annotated[Path, Argument(help="Run directory of a search in the space elastic.")],
    networks: Annotated[int, Option(help="How many, spread over the sizes.", min=3)] = 20,
    epochs: Annotated[int, Option(help="Of training each of them, with the teacher.", min=1)] = 10,
    trainings: Annotated[
        int,
        Option(
            help="Of each network, with other seeds. From two on, the table also says how well one "
            "training ranks the networks as the others do: what is left is noise.",
            min=1,
        ),
    ] = 1,
    limit: Annotated[
        list[str] | None, Option(help="Bound on their params or MACs, as in 'macs<=40M'. Repeatable.")
    ] = None,
    seed: Annotated[int, Option(help="Of drawing them.", min=0)] = 0,
) -> None:
    """Does the search's evaluator rank networks as training each of them would? Takes long; goes on
    where it was interrupted.

    Example: bench ranking runs/photos --networks 20 --limit 'macs<=40M'
    """
    from minnow.commands.ranking_table import show_ranking
    from minnow.console import interruptible
    from minnow.progress import ConsoleListener
    from minnow.ranking import Ranking, rank

    job = Ranking(run, networks, epochs, trainings, tuple(limit or ()), seed)
    with ConsoleListener() as listener, interruptible("bench", "ranking", run):
        rows = rank(job, listener)
    show_ranking(rows, job)
