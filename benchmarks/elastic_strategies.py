"""Strategies against one trained supernet: the best validation F1 so far, evaluation by evaluation.

Usage: python benchmarks/elastic_strategies.py RUN --out FILE.jsonl [--limit 'macs<=30M']
       [--runs 5] [--trials 60] [--random-trials 150]

RUN is that of ``search --space elastic`` with its supernet. A network's score in the supernet does not
depend on the strategy, so it is computed once and kept in FILE.networks.jsonl. A line goes into
FILE.jsonl as each run ends; runs that have theirs are skipped. The table has the evaluations that random
search needs to match the others after theirs, by the means over runs.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

import nas.strategies
from core.config import SearchConfig
from core.config_io import read_config
from core.files import write_lines
from core.reading import read_lines
from distill.supernet import find_supernet
from minnow.search_setup import make_space
from nas.bench.simulation import MemoryStudy
from nas.cost import cost
from nas.executors import SerialExecutor
from nas.objectives import Objectives
from nas.search import run_study
from nas.spaces.elastic import Elastic
from nas.trial import Proposal
from training.data.images import data_options, open_images
from training.device import keep_freed_memory

STRATEGIES = ("random", "gp", "tpe")


def main() -> None:
    """Run the searches that have no line yet, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, help="of search --space elastic")
    parser.add_argument("--out", type=Path, required=True, help="JSON lines file")
    parser.add_argument("--limit", action="append", help="as of search --limit")
    parser.add_argument("--strategy", action="append", help="beside random (gp, tpe)")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--trials", type=int, default=60)
    parser.add_argument("--random-trials", type=int, default=150)
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    keep_freed_memory()
    config, whole = read_config(SearchConfig, given.run / "config.yaml"), find_supernet(given.run)
    if whole is None:
        raise SystemExit(f"{given.run} holds no finished supernet")
    data = open_images(config.data.spec, data_options(config.data))
    space = make_space(Elastic, config, data.size)
    objectives = Objectives.parse(["f1:max"], given.limit or [])
    kept = given.out.with_suffix(".networks.jsonl")
    known = {row["network"]: row["f1"] for row in read_lines(kept)}

    def judge(proposal: Proposal) -> Mapping[str, float]:
        architecture = proposal.architecture
        if architecture.key not in known:
            known[architecture.key] = whole.evaluate_subnet(architecture, data, config.augment)[1].f1
            write_lines(kept, ({"network": key, "f1": f1} for key, f1 in known.items()))
        total = cost(architecture, data.num_classes)
        return {"f1": known[architecture.key], "params": total.params, "macs": total.macs}

    rows = read_lines(given.out)
    for seed in range(given.runs):
        for name in dict.fromkeys(("random", *(given.strategy or STRATEGIES))):
            trials = given.random_trials if name == "random" else given.trials
            key = {"strategy": name, "seed": seed, "trials": trials, "limits": given.limit or []}
            if any(row.items() >= key.items() for row in rows):
                continue
            made = nas.strategies.load(name)(
                space, objectives, seed=seed, num_classes=data.num_classes, probes={}
            )
            study = MemoryStudy()
            run_study(made, SerialExecutor(judge), study, trials=trials)
            rows.append({**key, "f1": [(trial.metrics or {})["f1"] for trial in study.trials()]})
            write_lines(given.out, rows)
            print(name, seed, f"{max(rows[-1]['f1']):.4f}", flush=True)
    print(f"\n{table([row for row in rows if row['limits'] == (given.limit or [])])}")


def table(rows: list[dict[str, Any]]) -> str:
    """Return a Markdown table: best validation F1 so far, and random's evaluations for it."""
    curves: dict[str, np.ndarray] = {}
    for name in dict.fromkeys(row["strategy"] for row in rows):
        found = [row["f1"] for row in rows if row["strategy"] == name]
        shortest = min(map(len, found))
        curves[name] = np.array([np.maximum.accumulate(each[:shortest]) for each in found])
    random = curves["random"].mean(axis=0)
    lines = ["| | evaluations | best validation F1 | random needs | runs |", "|---|---|---|---|---|"]
    for name, curve in curves.items():
        last, count = curve[:, -1], curve.shape[1]
        spread = last.std(ddof=1) if len(last) > 1 else 0.0
        reached = np.flatnonzero(random >= last.mean())
        needs = str(reached[0] + 1) if len(reached) else f"more than {len(random)}"
        lines.append(f"| {name} | {count} | {last.mean():.4f} ± {spread:.4f} | {needs} | {len(last)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
