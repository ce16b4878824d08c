"""Optuna's samplers and NNI's tuner, with their defaults, on a table of trained networks.

Usage: python benchmarks/peers.py --table FILE --runs R [--limit 'macs<=45.5M'] [--trials N]...

The protocol is that of ``cli.py bench strategies`` (see :mod:`nas.bench.regret`), so the rows of both
can be compared: one evaluation observes one recorded accuracy of a network, and every one counts. Here
nothing stands between a sampler and the training: repeats and networks beyond a limit are trained too.

Optuna's samplers get one categorical parameter per decision, and limits as Optuna's constraints. NNI's
tuner knows neither limits nor several goals: it is told 0 for a network beyond a limit, and follows the
first goal.
"""

from __future__ import annotations

import json
import statistics
import time
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Protocol

import numpy as np
import optuna
import typer
from rich.progress import track

import nas.spaces
from minnow.bench_run import curves, regret_grid
from minnow.console import notices, output
from nas.bench.regret import Trajectory, Truth, trajectory
from nas.bench.simulation import run_seed
from nas.bench.table import Table, TableEvaluator
from nas.objectives import Objectives
from nas.spaces import SearchSpace
from nas.strategies.base import training_seed
from nas.strategies.nni_evolution import Tuner
from nas.trial import Proposal, Trial

NNI = "nni:EvolutionTuner"
PEERS = ["TPESampler", "GPSampler", "NSGAIISampler", NNI, "RandomSampler"]
POPULATION = 32  # NNI's default


class Peer(Protocol):
    """Asks for one network at a time."""

    def ask(self) -> Sequence[int]:
        """Return a point of the space, one option index per decision."""
        ...

    def tell(self, metrics: Mapping[str, float]) -> None:
        """Report the outcome of the last point."""
        ...


class OptunaPeer:
    """A study with one sampler and its defaults."""

    def __init__(self, sampler: str, space: SearchSpace, objectives: Objectives, seed: int) -> None:
        self._space, self._objectives = space, objectives
        self._study = optuna.create_study(
            directions=["maximize" if goal.maximize else "minimize" for goal in objectives.goals],
            sampler=getattr(optuna.samplers, sampler)(seed=seed),
        )

    def ask(self) -> Sequence[int]:
        """Return one categorical suggestion per decision."""
        self._trial = self._study.ask()
        return [
            self._trial.suggest_categorical(decision.name, list(range(len(decision.options))))
            for decision in self._space.decisions
        ]

    def tell(self, metrics: Mapping[str, float]) -> None:
        """Report the values, and as constraints the excess over each limit."""
        for limit in self._objectives.limits:
            excess = metrics[limit.metric] - limit.value
            self._trial.set_constraint(str(limit), excess if limit.upper else -excess)
        self._study.tell(self._trial, list(self._objectives.values(metrics)))


class NniPeer:
    """NNI's evolution tuner, seeded and kept from printing."""

    def __init__(self, space: SearchSpace, objectives: Objectives, seed: int) -> None:
        self._objectives = objectives
        self._tuner = Tuner(space, POPULATION, np.random.default_rng(seed))

    def ask(self) -> Sequence[int]:
        """Return the tuner's next point."""
        return self._tuner.generate()

    def tell(self, metrics: Mapping[str, float]) -> None:
        """Report the first goal, 0 beyond a limit."""
        within = self._objectives.violation(metrics) == 0
        self._tuner.answer(-self._objectives.losses(metrics)[0] if within else 0.0)


def made(name: str, truth: Truth, seed: int) -> Peer:
    """Return a new peer."""
    if name == NNI:
        return NniPeer(truth.table.space, truth.objectives, seed)
    return OptunaPeer(name, truth.table.space, truth.objectives, seed)


def run(name: str, truth: Truth, trials: int, seed: int) -> Trajectory:
    """Run one search of ``trials`` evaluations."""
    peer, space, evaluator = made(name, truth, seed), truth.table.space, TableEvaluator(truth.table, seed)
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
        try:
            made(name, truth, 0)
        except ImportError as error:
            console.print(f"{name}: skipped, {error}")
            continue
        progress = track(seeds, name, console=notices(), transient=True)
        results[name] = [run(name, truth, counts[-1], each) for each in progress]
        if json_file is not None:
            json_file.write_text(json.dumps(curves(results)) + "\n")
    wants = ", ".join(map(str, [*objectives.goals, *objectives.limits]))
    title = f"{table.name}: {wants}; {runs} runs of {counts[-1]} evaluations"
    console.print(regret_grid(title, results, counts, "peer"))


if __name__ == "__main__":
    typer.run(main)
