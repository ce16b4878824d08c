"""The console's view of a trained student."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.markup import escape

from minnow.console import next_step, output, say
from minnow.run_directory import student_config
from minnow.tables import comparison_table, seeds_text, student_row
from training.bundle_files import STUDENT_FOLDER


def show_student(run: Path, metrics: Mapping[str, Any]) -> None:
    """Print a student beside its teacher, and the command to type next.

    Args:
        run: run directory.
        metrics: content of ``metrics.json``.
    """
    config = student_config(run / STUDENT_FOLDER)
    losses = " + ".join(filter(None, (config.loss.name, config.loss.feature_loss)))
    distilled = metrics["teacher"] is not None
    ending = f", distilled with {losses}" if distilled else ""
    rows = [
        ("teacher", metrics["teacher"]),
        (f"student, {'distilled' if distilled else 'alone'}", student_row(metrics)),
    ]
    output().print(comparison_table(f"{escape(config.data.spec)}: test split{ending}", rows))
    if "seeds" in metrics:
        output().print(seeds_text(metrics), highlight=False, markup=False, soft_wrap=True)
    tau, epochs = metrics["balance"]["tau"], len(metrics["history"])
    remark = f", {metrics['balance']['mode']} with tau {tau:g}" if tau else ""
    if metrics["stopped_early"]:
        remark += f"; stopped after {epochs}, the last {config.train.patience} were no better"
    say(f"student in {run / STUDENT_FOLDER} (epoch {metrics['epoch']} of {config.train.epochs}{remark})")
    next_step(["export", run])
