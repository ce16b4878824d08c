"""The command ``search``."""

from __future__ import annotations

from typing import Annotated, Any

from typer import Option

from core.config import SearchConfig
from minnow.commands import options
from minnow.commands.options import (
    Assignments,
    ConfigFile,
    Resume,
    SearchOut,
    named_values,
    with_settings,
)

Score = Annotated[
    str | None,
    Option(
        metavar="f1=F1,time=SECONDS",
        help="Reference of the metric score = total_seconds / time + sigmoid(20 * (F1 - f1)). "
        "(default: f1=0.7,time=86.3)",
        hidden=True,
    ),
]


@with_settings(
    SearchConfig,
    {
        options.DATA: ("data.spec", "data.size", "data.group_by", "data.unlabelled"),
        options.SEARCH: (
            *("space.name", "space.resolutions", "strategy.name", "trials", "budget"),
            *("evaluator", "workers", "executor"),
        ),
        options.GOALS: ("objectives", "limits", "target", "score_reference"),
        options.TEACHER: ("teacher.spec", "base.spec"),
        options.TRAINING: ("train.epochs",),
        options.RUN: ("seed", "out", "resume", "config", "assignments"),
    },
)
def search(
    changes: dict[str, Any],
    score_reference: Score = None,
    out: SearchOut = None,
    resume: Resume = False,
    config: ConfigFile = None,
    assignments: Assignments = None,
) -> None:
    """Search for a network: train candidates briefly and keep the best within your limits.

    Example: search --data photos/ --trials 30 --limit 'params<=300k' --limit 'latency_ms<=2'

    A stopped search loses at most the trial in progress; search --resume --out RUN continues it.
    --tracker mlflow, tensorboard or wandb records the run there, too.
    """
    if score_reference is not None:
        parts = [part.strip() for part in score_reference.split(",")]
        values = named_values("score-reference", parts)
        changes |= {f"score.{name}": value for name, value in values.items()}
    from core.runtime import share_cores
    from minnow.console import interruptible
    from minnow.progress import ConsoleListener
    from minnow.typed import resuming

    with ConsoleListener() as listener:
        share_cores(listener.note)
        from minnow.settings import search_settings

        settings, run = search_settings(changes, file=config, out=out, resume=resume, listener=listener)
        from minnow.search_run import run_search
        from minnow.tables import show_search

        with interruptible(*resuming("search", settings, run)):
            result = run_search(settings, run, resume=resume, listener=listener)
        show_search(result)
