"""How far guessed latencies are off: half of a search's networks, guessed from the others.

Usage: python benchmarks/latency_guess.py RUN [RUN ...]
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from commands.runs import architecture_path, read_summary
from deploy.latency_guess import features_of, fitted
from nas.architecture import Architecture


def main() -> None:
    """Print the relative errors' quartiles and largest, run by run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", type=Path, nargs="+", help="of searches")
    for run in parser.parse_args().runs:
        summary = read_summary(run)
        trials = [trial for trial in summary.trials if trial["metrics"]]
        networks = [Architecture.from_yaml(architecture_path(run, trial["number"])) for trial in trials]
        features = np.array([features_of(network, len(summary.classes)) for network in networks])
        measured = np.array([trial["metrics"]["latency_ms"] for trial in trials])
        known = np.random.default_rng(0).permutation(len(trials)) < len(trials) // 2
        guessed = features[~known] @ fitted(features[known], measured[known])
        errors = np.abs(guessed / measured[~known] - 1)
        low, middle, high = np.quantile(errors, (0.25, 0.5, 0.75))
        print(
            f"{run}: {known.sum()} known, {len(errors)} guessed; relative error {middle:.3f} "
            f"({low:.3f} to {high:.3f}), largest {errors.max():.3f}"
        )


if __name__ == "__main__":
    main()
