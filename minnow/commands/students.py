"""``distill`` and ``train``: their options become the settings of a student."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from typer import Option

from minnow.commands.options import (
    DATA_HELP,
    TEACHER_HELP,
    TEACHING,
    Balance,
    Batch,
    Clip,
    Compile,
    CutMix,
    Data,
    FeatureOption,
    Features,
    FeatureWeight,
    Fit,
    FromScratch,
    LossName,
    LossOption,
    LossWeight,
    MixUp,
    Optimizer,
    Patience,
    Pick,
    Precision,
    Rate,
    Scheduler,
    Seed,
    Seeds,
    Settings,
    Size,
    StudentEpochs,
    TeacherEpochs,
    TeacherSide,
    Views,
    settings_in,
)


def distill(
    teacher: Annotated[str, Option(help=TEACHER_HELP)],
    student: Annotated[
        str | None,
        Option(
            help="Run directory of a search, or a model YAML. (default: the last search, runs/latest)"
        ),
    ] = None,
    pick: Pick = "best",
    data: Annotated[
        str | None, Option(help=f"{DATA_HELP} (default: the search's)", show_default=False)
    ] = None,
    loss: LossName = None,
    loss_weight: LossWeight = None,
    loss_option: LossOption = None,
    features: Features = None,
    feature_weight: FeatureWeight = None,
    feature_option: FeatureOption = None,
    balance: Balance = None,
    epochs: StudentEpochs = None,
    teacher_resolution: TeacherSide = None,
    teacher_epochs: TeacherEpochs = None,
    seed: Seed = None,
    seeds: Seeds = 1,
    out: Annotated[
        Path | None,
        Option(help="Run directory; the student goes into its student/. (default: the search's)"),
    ] = None,
    resume: Annotated[bool, Option("--resume", help="Go on with an interrupted training.")] = False,
    image_size: Size = None,
    fit: Fit = None,
    batch_size: Batch = None,
    learning_rate: Rate = None,
    optimizer: Optimizer = None,
    clip_grad: Clip = None,
    patience: Patience = None,
    views: Views = None,
    cutmix: CutMix = None,
    mixup: MixUp = None,
    scheduler: Scheduler = None,
    precision: Precision = None,
    compiled: Compile = None,
    from_scratch: FromScratch = None,
    live_teacher: Annotated[
        bool | None,
        Option(
            "--live-teacher",
            help="Ask the teacher about every batch, not about each view once. Slow; for comparison.",
            rich_help_panel=TEACHING,
        ),
    ] = None,
    config: Settings = None,
) -> None:
    """Train the found network with a teacher, and read the test split once.

    Example: distill --teacher tf_efficientnet_lite0 --student runs/photos --epochs 40

    The teacher is fine-tuned on your training images first (cached), and its outputs are computed once.
    """
    given = settings_in(locals(), "student", "pick", "seeds", "out", "resume", "config")
    where = {"student": student, "pick": pick, "file": config, "out": out, "prefix": "distill"}
    _train(given, where, resume=resume, seeds=seeds)


def train(
    model: Annotated[str, Option(help="Model YAML, or the run directory of a search.")],
    pick: Pick = "best",
    data: Data = None,
    balance: Balance = None,
    epochs: StudentEpochs = None,
    seed: Seed = None,
    seeds: Seeds = 1,
    out: Annotated[
        Path | None,
        Option(help="Run directory; the network goes into its student/. (default: runs/train-MODEL)"),
    ] = None,
    resume: Annotated[bool, Option("--resume", help="Go on with an interrupted training.")] = False,
    image_size: Size = None,
    fit: Fit = None,
    batch_size: Batch = None,
    learning_rate: Rate = None,
    optimizer: Optimizer = None,
    clip_grad: Clip = None,
    patience: Patience = None,
    views: Views = None,
    cutmix: CutMix = None,
    mixup: MixUp = None,
    scheduler: Scheduler = None,
    precision: Precision = None,
    compiled: Compile = None,
    from_scratch: FromScratch = None,
    config: Settings = None,
) -> None:
    """Train a network without a teacher: what it can do alone.

    Example: train --model runs/photos/architecture.yaml --data photos/
    """
    given = settings_in(locals(), "model", "pick", "seeds", "out", "resume", "config")
    where = {"student": model, "pick": pick, "file": config, "out": out, "prefix": "train"}
    _train(given, where, resume=resume, seeds=seeds)


def _train(given: dict[str, Any], where: dict[str, Any], *, resume: bool, seeds: int) -> None:
    import sys

    from minnow.console import interruptible
    from minnow.cores import share_cores
    from minnow.progress import ConsoleListener

    with ConsoleListener() as listener:
        share_cores(listener)
        from minnow.settings import student_settings

        chosen, settings, run = student_settings(given, **where)
        from minnow.commands.student_tables import show_student
        from minnow.student_run import run_student

        again = [argument for argument in sys.argv[1:] if argument != "--resume"]
        with interruptible(*again, "--resume"):
            metrics = run_student(chosen, settings, run, resume=resume, seeds=seeds, listener=listener)
        show_student(run, metrics)
