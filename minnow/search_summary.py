"""What ``search`` says before it begins, and about its trials at the end."""

from __future__ import annotations

from pathlib import Path

from core.config import SearchConfig
from core.errors import UserError
from deploy.latency import runtime_name
from distill.prepared_teacher import Taught
from minnow.console import next_step, output, say, warn
from minnow.tables import front_table
from minnow.teaching import compare_with_teacher
from nas.objectives import Objectives
from nas.schedulers.asha import Halving
from nas.significance import doubt
from nas.spaces.base import SearchSpace
from nas.trial import Trial
from training.device import pick_device

_WEIGHTS = {"inherit": "teacher", "supernet": "supernet"}


def check_timed(known: list[Trial], objectives: Objectives, out: Path) -> None:
    """Refuse a goal or limit that earlier trials cannot be held against.

    Raises:
        UserError: a trial has not measured it.
    """
    for name in objectives.named:
        lacking = [t.number for t in known if t.metrics is not None and name not in t.metrics]
        if lacking:
            raise UserError(
                f"{name} was not measured in {len(lacking)} of the {len(known)} trials of {out}, as in "
                f"trial {lacking[0]}; leave it out, or choose another --out"
            )


def plan(
    config: SearchConfig,
    space: SearchSpace,
    objectives: Objectives,
    out: Path,
    known: int,
    halving: Halving | None,
) -> str:
    """What a search is about to do.

    Args:
        config: its settings.
        space: of the study.
        objectives: goals and limits.
        out: its run directory.
        known: trials of earlier runs.
        halving: how trainings are cut short, if they are.
    """
    sides = ", ".join(map(str, space.resolutions))
    confirm = config.confirmations
    ending = f", the last {confirm} to confirm the best" if confirm else ""
    if confirm and config.timeout is not None:
        ending += " (earlier where the time would be over)"
    at = f"{known} trials known, " if known else ""
    lengths = f"{config.train.epochs} epochs"
    if config.evaluator != "train":
        training = f" and {lengths}" if config.train.epochs else ""
        lengths = f"the {_WEIGHTS[config.evaluator or 'supernet']}'s weights{training}"
    if halving is not None:
        lengths = f"{lengths}, spent in rungs of {', '.join(map(str, halving.rungs))}"
    return (
        f"search: {config.strategy.name} in {config.space.name} ({space.size:.2g} points, {sides} px) "
        f"for {objectives}; {at}{config.trials} trials {'of' if config.evaluator == 'train' else 'with'} "
        f"{lengths}{ending} on "
        f"{pick_device().type}; results in {out}"
    )


def timing(config: SearchConfig, images: int) -> str:
    """What total_seconds and score are."""
    reference = config.score
    return (
        f"total_seconds: the {images:,} validation images one by one on {runtime_name()}, from stored "
        f"pixels to label (resizing, normalisation, network); score: total_seconds / {reference.time:g} "
        f"+ sigmoid(20 * ({reference.f1:g} - f1)), less is better, a reference for {images:,} images "
        f"assumed (see --score-reference)"
    )


def report(
    trials: list[Trial],
    objectives: Objectives,
    space: SearchSpace,
    out: Path,
    config: SearchConfig,
    taught: Taught | None,
    validation: list[int],
) -> None:
    """What came of a search, and what to type next.

    Args:
        trials: all of the study.
        objectives: goals and limits.
        space: of the study.
        out: its run directory.
        config: its settings.
        taught: the teacher, if any.
        validation: validation images of each class.
    """
    failed = sum(not trial.completed for trial in trials)
    if failed:
        example = next(trial for trial in trials if not trial.completed)
        warn(f"{failed} of {len(trials)} trials failed; trial {example.number}: {example.error}")
    chosen = objectives.best(trials)
    if chosen is None:
        warn("no trial meets every limit; search on with --resume and more --trials")
        return
    if (reason := doubt(trials, objectives, validation)) is not None:
        warn(reason)
    output().print(front_table(trials, chosen, objectives, space))
    if taught is not None and chosen.metrics is not None:
        compare_with_teacher(taught.val.f1, chosen.metrics["f1"], "the chosen trial")
    if len(objectives.front(trials)) > 1:
        say("chosen is the best in the first goal; distill --pick knee, or --pick 'smallest:f1>=0.6' ...")
    teacher = config.teacher.spec if config.teacher else "tf_efficientnet_lite0"
    next_step(["distill", "--teacher", teacher, "--student", out])
