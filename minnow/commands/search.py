"""``search``: its options become the settings of a search."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Option

from minnow.commands.options import (
    EPOCHS_HELP,
    TEACHER_HELP,
    Batch,
    Data,
    FeatureOption,
    Features,
    FeatureWeight,
    Fit,
    LossName,
    LossOption,
    LossWeight,
    Rate,
    ScoreReference,
    Seed,
    Settings,
    Size,
    TeacherEpochs,
    TeacherSide,
    Views,
    settings_in,
)


def search(
    data: Data = None,
    space: Annotated[str | None, Option(help="Search space, see 'plugins'. (default: mobilenet)")] = None,
    resolution: Annotated[
        str | None,
        Option(help="Input sides, as in 96 or 64,96,128. (default: five, up to the stored side)"),
    ] = None,
    strategy: Annotated[
        str | None,
        Option(
            help="gp, tpe, evolution, nni-evolution, random, optuna:SAMPLER, module:Class or "
            "./file.py:Class. After 50 trainings on NAS-Bench-Macro their picks are 0.05, 0.17, 0.22, "
            "0.28 and 0.40 points below the best network; see docs/strategies.md. (default: gp)"
        ),
    ] = None,
    strategy_option: Annotated[
        list[str] | None, Option(help="Option of the strategy, as in startup=5. Repeatable.")
    ] = None,
    trials: Annotated[
        int | None,
        Option(
            help="Networks to train, those of earlier runs included; with --fidelity asha a budget of "
            "as many full trainings, for several times the networks. (default: 20)"
        ),
    ] = None,
    fidelity: Annotated[
        str | None,
        Option(
            help="full: train every network for --epochs. asha: train new ones for a ninth (or a third "
            "...) of them, and of each three the best goes on for three times as long. (default: full)"
        ),
    ] = None,
    evaluator: Annotated[
        str | None,
        Option(
            help="How a network gets its validation F1. train: --epochs from random weights. For --space "
            "elastic: supernet, with its part of a supernet that is made of the teacher first (saved in "
            "the run), or inherit, with its part of the teacher itself, best with some --epochs. "
            "(default: supernet in the space elastic, else train)",
        ),
    ] = None,
    supernet_epochs: Annotated[
        int | None,
        Option(
            help="Epochs of making the supernet; each costs two to three of the teacher's. "
            "(default: 10, or 440 steps but at most 40)",
            min=1,
        ),
    ] = None,
    importance: Annotated[
        str | None,
        Option(
            help="Which channels of the teacher networks of --space elastic keep first: taylor, those "
            "without which the loss would change most, or magnitude, those with the largest weights. "
            "(default: taylor)"
        ),
    ] = None,
    confirm: Annotated[
        int | None,
        Option(
            help="The last so many trials train the best networks again, with new seeds, where that may "
            "change the pick; a network counts with its mean. Where a --timeout comes first, the last "
            "part of the time is kept for them: what they take, at most that share or a fifth of it. "
            "(default: a fifth of the trials with one objective, else 0)"
        ),
    ] = None,
    timeout: Annotated[
        str | None,
        Option(
            help="Start nothing new after this time, as in 90s, 10m or 1h30m. It counts from the first "
            "trial, when teacher and supernet are ready."
        ),
    ] = None,
    epochs: Annotated[
        int | None,
        Option(
            help=f"{EPOCHS_HELP} With --fidelity asha of a network that gets to the end, by default 9 or "
            "450 steps. (default: 5, or 100 steps where folders are small)",
            min=1,
        ),
    ] = None,
    objective: Annotated[
        list[str] | None,
        Option(
            help="Goal, as in f1:max or latency_ms:min; repeat for a Pareto front. "
            "Metrics: f1, accuracy, balanced_accuracy, params, macs, latency_ms, train_seconds, "
            "total_seconds (to classify all validation images one by one) and score (of total_seconds "
            "and f1, less is better), see --score-reference. "
            "(default: f1:max)"
        ),
    ] = None,
    limit: Annotated[
        list[str] | None,
        Option(
            help="Bound, as in 'params<=300k', 'macs<=20M' or 'latency_ms<=2'. Repeatable. "
            "Networks beyond it are never trained, unless only training or timing them tells: f1, "
            "total_seconds, score."
        ),
    ] = None,
    score_reference: ScoreReference = None,
    teacher: Annotated[
        str | None,
        Option(
            help="Train every trial by distillation; with --space elastic, what networks are cut out of. "
            f"{TEACHER_HELP}"
        ),
    ] = None,
    teacher_resolution: TeacherSide = None,
    teacher_epochs: TeacherEpochs = None,
    loss: LossName = None,
    loss_weight: LossWeight = None,
    loss_option: LossOption = None,
    features: Features = None,
    feature_weight: FeatureWeight = None,
    feature_option: FeatureOption = None,
    balance: Annotated[
        str | None,
        Option(
            help="sampler or logit-adjust: train every trial so, and the student unless told otherwise; "
            "see 'distill'. post-hoc changes no training, and waits for the student. (default: none)"
        ),
    ] = None,
    workers: Annotated[
        int | None,
        Option(help="Trials at a time, each in a process with cores / N threads. (default: 1)"),
    ] = None,
    seed: Seed = None,
    out: Annotated[Path | None, Option(help="Run directory. (default: runs/DATA-SPACE-STRATEGY)")] = None,
    resume: Annotated[
        bool,
        Option(
            "--resume",
            help="Go on with the run in --out (default: the last one), with its settings.",
        ),
    ] = False,
    storage: Annotated[
        str | None,
        Option(help="Optuna storage URL, as in sqlite:///study.db. (default: a journal file in the run)"),
    ] = None,
    image_size: Size = None,
    fit: Fit = None,
    batch_size: Batch = None,
    learning_rate: Rate = None,
    views: Views = None,
    config: Settings = None,
) -> None:
    """Find a network: train candidates briefly, keep the best within your limits.

    Example: search --data photos/ --trials 30 --limit 'params<=300k' --limit 'latency_ms<=2'

    The study is an Optuna journal (optuna-dashboard RUN/study.journal shows it). A killed or interrupted
    search loses at most the trial in flight: search --resume --out RUN goes on.
    """
    given = settings_in(locals(), "out", "resume", "config")
    from minnow.console import interruptible
    from minnow.cores import share_cores
    from minnow.progress import ConsoleListener

    with ConsoleListener() as listener:
        share_cores(listener)
        from minnow.settings import search_settings

        settings, run = search_settings(given, file=config, out=out, resume=resume)
        from minnow.commands.search_tables import show_search
        from minnow.search_run import run_search

        with interruptible("search", "--resume", "--out", run):
            result = run_search(settings, run, resume=resume, listener=listener)
        show_search(result)
