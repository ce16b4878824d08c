"""The console's view of a finished search."""

from __future__ import annotations

from pathlib import Path

from core.config import SearchConfig
from core.config_io import read_config
from minnow.console import next_step, output, say
from minnow.picking import read_trials
from minnow.runs import CONFIG, read_summary
from minnow.tables import front_table
from nas.objectives import Objectives


def show_search(run: Path) -> None:
    """Print the Pareto front of a search and the command to type next."""
    config = read_config(SearchConfig, run / CONFIG)
    objectives = Objectives.parse(config.objectives, config.limits)
    trials = read_trials(run, read_summary(run))
    chosen = objectives.best(trials)
    if chosen is None:
        return
    output().print(front_table(trials, chosen, objectives))
    if len(objectives.front(trials)) > 1:
        say("chosen is the best in the first goal; distill --pick knee, or --pick 'smallest:f1>=0.6' ...")
    teacher = config.teacher.spec if config.teacher else "tf_efficientnet_lite0"
    next_step(["distill", "--teacher", teacher, "--student", run])
