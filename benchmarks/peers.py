"""Optimizers of other libraries, with their defaults, on a table of trained networks.

Usage: python benchmarks/peers.py --table FILE --runs R [--limit 'macs<=45.5M'] [--trials N]...

The protocol is that of ``cli.py bench strategies`` (see :mod:`nas.bench.regret`), so the rows of both
can be compared: one evaluation observes one recorded accuracy of a network, and every one counts. Here
nothing stands between a sampler and the training: repeats and networks beyond a limit are trained too.

The optimizers that are not installed are skipped:

    pip install optunahub smac syne-tune
    pip install optuna-integration && pip install 'botorch>=0.18'
"""

from __future__ import annotations

import json
import statistics
import time
import warnings
from pathlib import Path
from typing import Annotated

import optuna
import typer
from peer_optimizers import make_peer
from rich.progress import track

import nas.spaces
from minnow.bench_run import curves, regret_grid
from minnow.console import notices, output
from nas.bench.regret import Trajectory, Truth, trajectory
from nas.bench.simulation import run_seed
from nas.bench.table import Table, TableEvaluator
from nas.objectives import Objectives
from nas.strategies.base import training_seed
from nas.trial import Proposal, Trial

PEERS = [
    "optuna:TPESampler",
    "optuna:GPSampler",
    "optuna:NSGAIISampler",
    "optuna:RandomSampler",
    "optunahub:auto_sampler",
    "optuna-integration:BoTorchSampler",
    "nni:EvolutionTuner",
    "smac:HyperparameterOptimizationFacade",
    "syne-tune:BORE",
    "syne-tune:CQR",
]


def run(name: str, truth: Truth, trials: int, seed: int) -> Trajectory:
    """Run one search of ``trials`` evaluations."""
    space, evaluator = truth.table.space, TableEvaluator(truth.table, seed)
    peer = make_peer(name, space, truth.objectives, seed % 2**31)
    found: list[Trial] = []
    seconds = []
    for number in range(trials):
        start = time.perf_counter()
        point = space.canonical(peer.ask())
        seconds.append(time.perf_counter() - start)
        proposal = Proposal(number, point, space.decode(point), training_seed(seed, number))
        metrics = evaluator(proposal)
        peer.tell(metrics)
        found.append(proposal.complete(metrics))
    return trajectory(found, truth, ask_seconds=statistics.median(seconds))


def main(
    table: Annotated[Path, typer.Option(help="JSON file, as of 'cli.py bench strategies'.")],
    runs: Annotated[int, typer.Option(help="Runs of each peer.")] = 50,
    trials: Annotated[list[int] | None, typer.Option(help="Evaluations to report. (50 and 100)")] = None,
    objective: Annotated[list[str] | None, typer.Option(help="Goal. (f1:max)")] = None,
    limit: Annotated[list[str] | None, typer.Option(help="Bound, as in 'macs<=45.5M'.")] = None,
    peer: Annotated[list[str] | None, typer.Option(help=f"Of {', '.join(PEERS)}. (all)")] = None,
    minutes: Annotated[
        float | None, typer.Option(help="Start no further run of a peer after this time.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of all runs together.")] = 0,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="File to write every run's curves to.")
    ] = None,
) -> None:
    """Run the peers and print a table."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
    objectives = Objectives.parse(objective or [], limit or [])
    truth = Truth.of(Table.read(table, nas.spaces.load("macro")()), objectives)
    counts = sorted(trials or [50, 100])
    seeds = [run_seed(seed, index) for index in range(runs)]
    if unknown := [name for name in peer or [] if name not in PEERS]:
        raise typer.BadParameter(f"unknown --peer {', '.join(unknown)}; known: {', '.join(PEERS)}")
    results: dict[str, list[Trajectory]] = {}
    console = output()
    for name in peer or PEERS:
        start = time.monotonic()
        try:
            for each in track(seeds, name, console=notices(), transient=True):
                if minutes is not None and time.monotonic() - start > 60 * minutes:
                    break
                results.setdefault(name, []).append(run(name, truth, counts[-1], each))
                if json_file is not None:  # after each, so that an interruption loses little
                    json_file.write_text(json.dumps(curves(results)) + "\n")
        except ImportError as error:
            console.print(f"{name}: skipped, {error}")
    if not results:
        raise SystemExit(1)
    wants = ", ".join(map(str, [*objectives.goals, *objectives.limits]))
    title = f"{table.name}: {wants}; up to {runs} runs of {counts[-1]} evaluations"
    results = {f"{name}, n={len(found)}": found for name, found in results.items()}
    console.print(regret_grid(title, results, counts, "peer"))


if __name__ == "__main__":
    typer.run(main)
