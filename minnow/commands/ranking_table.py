"""The console's view of ``bench ranking``."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from rich import box
from rich.table import Table

from minnow.console import output, say
from minnow.ranking import FILE, Ranking
from nas.bench.rank_correlation import agreement, better_half, tau


def show_ranking(rows: Sequence[Mapping[str, Any]], job: Ranking) -> None:
    """Print how well the evaluator's scores, MACs and params rank the trained networks."""
    output().print(_table(rows, job))
    say(f"every training in {job.run / FILE}")


def _table(rows: Sequence[Mapping[str, Any]], job: Ranking) -> Table:
    """Rank correlations with the F1 after training, test and validation."""
    one, ten = (statistics.median(row[name] for row in rows) for name in ("seconds", "trained_seconds"))
    networks = {row["network"]: row for row in rows}
    each = "each" if job.trainings == 1 else f"{job.trainings} trainings of each"
    title = (
        f"Kendall's tau with F1 after {job.epochs} epochs of {each} of {len(networks)} networks "
        f"(90 % interval); judging one takes {one:.1f} s, training it {ten:.0f} s (1/{ten / one:.0f})"
    )
    table = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left")
    for column in ("", "test F1", "test F1, better half", "validation F1"):
        table.add_column(column, justify="left" if not column else "right")
    test, val = (_by_training(rows, list(networks), name) for name in ("test_f1", "val_f1"))
    truth = test.mean(axis=1).tolist()
    for name, label in (("f1", "the evaluator"), ("macs", "MACs"), ("params", "params")):
        scores = [row[name] for row in networks.values()]
        found = [tau(scores, truth), tau(*better_half(scores, truth)), tau(scores, val.mean(axis=1))]
        table.add_row(label, *map(str, found))
    if job.trainings > 1:
        again = [f"{agreement(val, truth):.2f}" for truth in (test, val)]
        table.add_row("another training's validation F1", again[0], "", again[1])
    return table


def _by_training(rows: Sequence[Mapping[str, Any]], networks: Sequence[str], name: str) -> np.ndarray:
    """Return a column of the rows, ``(networks, trainings)``."""
    found = {(row["network"], row["seed"]): row[name] for row in rows}
    seeds = sorted({seed for _, seed in found})
    return np.array([[found[network, seed] for seed in seeds] for network in networks])
