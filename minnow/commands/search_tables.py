"""The console's view of a finished search."""

from __future__ import annotations

from minnow.console import next_step, output, say
from minnow.run_directory import Run
from minnow.tables import front_table


def show_search(run: Run) -> None:
    """Print the Pareto front of a search and the command to type next."""
    if run.best is None:
        return
    show_front(run)
    if len(run.front) > 1:
        say("chosen is the best in the first goal; distill --pick knee, or --pick 'smallest:f1>=0.6' ...")
    teacher = run.config.teacher.spec if run.config.teacher else "tf_efficientnet_lite0"
    next_step(["distill", "--teacher", teacher, "--student", run.path])


def show_front(run: Run) -> None:
    """Print the Pareto front of a search, if a trial is within the limits."""
    if run.best is not None:
        output().print(front_table(run.trials, run.best, run.objectives))
