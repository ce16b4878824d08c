"""Epochs that successive halving needs until its pick is as good as after n full trainings.

Usage: python benchmarks/asha.py [--runs 200] [--csv FILE] [--epochs 27] [--eta 3]
       [--value best|last] [--seed 0]

Replays measured learning curves (benchmarks/curves.py) through the real search loop, in virtual time.
Every run draws the networks in another order, by random search. Full training: every network for all
epochs. Halving: :class:`nas.schedulers.asha.SuccessiveHalving` around the same search. After every trial
the pick is what the search would pick, and its merit is its F1 on validation after a full training. For n
full trainings the table has their mean merit over the runs, and the epochs after which halving's mean
merit is as high.

The spread is a 90 % interval by bootstrap over runs; the curves stay the same ones, so it says nothing
about other networks or data. Infinity: halving trains every network before it is as good.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from nas.architecture import Architecture
from nas.bench.simulation import MemoryStudy
from nas.executors import SerialExecutor
from nas.objectives import Objectives
from nas.schedulers.asha import ETA, SuccessiveHalving
from nas.search import AskTell, run_study
from nas.spaces.base import Decision, SearchSpace
from nas.spaces.mobilenet import MobileNet
from nas.strategies.random import RandomSearch
from nas.trial import Proposal

CURVES = Path(__file__).with_name("curves_cifar10-small.csv")
RESOLUTIONS = (16, 20, 24, 28, 32)  # of the curves' space
FULL = (10, 20, 30)  # full trainings to compare with
GOALS = Objectives.parse(["f1:max"])
BOOTSTRAP = 1000


@dataclass(frozen=True)
class Curves:
    """Networks and their F1 on validation.

    Attributes:
        points: of the networks in the mobilenet space.
        f1: (networks, epochs), what a training of so many epochs reports.
    """

    points: tuple[tuple[int, ...], ...]
    f1: np.ndarray

    @classmethod
    def read(cls, path: Path, value: str, epochs: int | None = None) -> Curves:
        """Read the first epochs of a CSV file.

        A training reports its ``"best"`` epoch, as in Minnow, or its ``"last"``.
        """
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        f1 = np.array([[float(score) for score in row["val_f1"].split()] for row in rows])[:, :epochs]
        points = tuple(tuple(map(int, row["choices"].split())) for row in rows)
        return cls(points, np.maximum.accumulate(f1, axis=1) if value == "best" else f1)

    @property
    def epochs(self) -> int:
        """Epochs of a full training."""
        return self.f1.shape[1]

    def metrics(self, proposal: Proposal) -> dict[str, float]:
        """Return the metrics that a training reports."""
        return {"f1": float(self.f1[proposal.choices[0], (proposal.epochs or self.epochs) - 1])}


class Listed(SearchSpace):
    """The networks of a list."""

    def __init__(self, points: Sequence[tuple[int, ...]]) -> None:
        self._networks = tuple(map(MobileNet(RESOLUTIONS).decode, points))
        super().__init__(RESOLUTIONS)

    def make_decisions(self) -> tuple[Decision, ...]:
        """Return one decision: the network's number."""
        return (Decision("network", tuple(range(len(self._networks)))),)

    def decode(self, choices: Sequence[int]) -> Architecture:
        """Return the chosen network."""
        return self._networks[choices[0]]


def replay(asker: AskTell, curves: Curves) -> np.ndarray:
    """Return the pick's merit after every epoch of a study, (epochs + 1,); NaN while there is none.

    Args:
        asker: new; its space is :class:`Listed`.
        curves: of the networks.
    """
    study = MemoryStudy()
    run_study(asker, SerialExecutor(curves.metrics), study, trials=max(FULL))
    merit = np.full((max(FULL) + 1) * curves.epochs, np.nan)
    lengths: dict[int | None, int] = {t.number: t.proposal.epochs or 0 for t in study.finished}
    lengths[None] = 0
    spent = 0
    for count, trial in enumerate(study.finished, start=1):
        proposal = trial.proposal
        spent += (proposal.epochs or curves.epochs) - lengths[proposal.parent]
        pick = GOALS.best(study.finished[:count])
        merit[spent:] = curves.f1[pick.choices[0], -1] if pick is not None else np.nan
    return merit


def needed(full: np.ndarray, halved: np.ndarray, n: int, epochs: int) -> float:
    """Return the epochs after which ``halved`` is on average as good as ``full`` after ``n`` trainings.

    Args:
        full: (runs, epochs) merit.
        halved: likewise.
        n: full trainings.
        epochs: of each.

    Returns:
        Infinity where it never is.
    """
    reached = np.flatnonzero(halved.mean(axis=0) >= full[:, n * epochs].mean())
    return float(reached[0]) if len(reached) else float("inf")


def main() -> None:
    """Print one row per number of full trainings."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--csv", type=Path, default=CURVES)
    parser.add_argument("--epochs", type=int, help="epochs of a full training (all of the file's)")
    parser.add_argument("--eta", type=int, default=ETA)
    parser.add_argument("--value", choices=("best", "last"), default="best")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    curves = Curves.read(given.csv, given.value, given.epochs)
    space, rng = Listed(curves.points), np.random.default_rng(given.seed)
    made = [partial(RandomSearch, space, GOALS, seed=s, num_classes=10) for s in range(given.runs)]
    full = np.array([replay(strategy(), curves) for strategy in made])
    halved = np.array(
        [
            replay(SuccessiveHalving(strategy(), epochs=curves.epochs, eta=given.eta), curves)
            for strategy in made
        ]
    )
    resampled = [rng.integers(given.runs, size=given.runs) for _ in range(BOOTSTRAP)]
    print(f"{len(curves.points)} networks, {curves.epochs} epochs, {given.runs} runs\n")
    print("| full trainings | their epochs | F1 of the pick | halving's epochs | ratio |")
    print("|---|---|---|---|---|")
    for n in FULL:
        whole = n * curves.epochs
        ratio = needed(full, halved, n, curves.epochs) / whole
        ratios = [needed(full[i], halved[i], n, curves.epochs) / whole for i in resampled]
        low, high = np.quantile(ratios, (0.05, 0.95), method="nearest")
        print(
            f"| {n} | {whole} | {full[:, whole].mean():.4f} | {ratio * whole:.0f} "
            f"| {ratio:.2f} ({low:.2f} to {high:.2f}) |"
        )


if __name__ == "__main__":
    main()
