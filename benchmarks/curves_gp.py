"""Regret of `gp` with and without its trend: a search among the 60 trained networks of the curves.

Usage: OMP_NUM_THREADS=1 python benchmarks/curves_gp.py [--runs 120]

The process of `gp` chooses by expected improvement among networks that were really trained
(`benchmarks/curves_cifar10-small.csv`, 27 epochs), after six random ones. Prints the regret: the best of
all minus the best one found, in points of validation F1; mean and standard error, with and without the
trend on the same starts, and their difference.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence

import numpy as np
from asha import CURVES, RESOLUTIONS, Curves

from nas.cost import cost
from nas.spaces.mobilenet import MobileNet
from nas.strategies.gp.acquisition import expected_improvement
from nas.strategies.gp.encoding import Encoding
from nas.strategies.gp.learner import Learner

START, SHOWN = 6, (10, 15, 20)
CLASSES = 10

Point = tuple[int, ...]


def main() -> None:
    """Print a row per number of evaluations."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=120)
    runs = parser.parse_args().runs
    curves, space = Curves.read(CURVES, "best"), MobileNet(RESOLUTIONS)
    scores = 100 * curves.f1[:, -1]
    costs = {point: cost(space.decode(point), CLASSES) for point in curves.points}
    logarithms = (
        lambda point: math.log(costs[point].params),
        lambda point: math.log(costs[point].macs),
    )
    without, trend = (
        np.array(
            [
                regret(Encoding.of(space.decisions, extra), curves.points, scores, run)
                for run in range(runs)
            ]
        )
        for extra in ((), logarithms)
    )
    print(f"| regret after | without | trend | difference, n = {runs} |\n|---|---|---|---|")
    for count in SHOWN:
        columns = [each[:, count - START] for each in (without, trend, trend - without)]
        cells = [f"{each.mean():.2f} ± {each.std(ddof=1) / math.sqrt(runs):.2f}" for each in columns]
        print(f"| {count} | {' | '.join(cells)} |")


def regret(encoding: Encoding, points: Sequence[Point], scores: np.ndarray, seed: int) -> np.ndarray:
    """Return the regret of the best network so far, after 6, 7, ... evaluations of one run."""
    learner, codes = Learner(encoding, maximize=True), encoding(points)
    known = np.random.default_rng(seed).permutation(len(points))[:START].tolist()
    for index in known:
        learner.add(points[index], scores[index])
    best = [scores[known].max()]
    while len(known) < max(SHOWN):
        posterior, _ = learner.posterior()
        mean, deviation = posterior.predict(codes)
        value = expected_improvement(mean, np.maximum(deviation, 1e-9), mean[known].max())
        value[known] = -1.0
        known.append(int(value.argmax()))
        learner.add(points[known[-1]], scores[known[-1]])
        best.append(scores[known].max())
    return np.asarray(scores.max() - np.array(best))


if __name__ == "__main__":
    main()
