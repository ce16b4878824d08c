"""The command ``distill``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from typer import Option

from core.config import Refit, StudentConfig
from minnow.commands import options
from minnow.commands.options import (
    Assignments,
    ConfigFile,
    Pick,
    Qat,
    RefitOn,
    Resume,
    Seeds,
    SeedsExecutor,
    SeedsWorkers,
    with_settings,
)


@with_settings(
    StudentConfig,
    {
        options.DATA: ("data.spec", "data.unlabelled"),
        options.SEARCH: ("student", "pick"),
        options.TEACHER: ("teacher.spec", "teacher.epochs", "loss.name"),
        options.TRAINING: (
            "train.epochs",
            "budget",
            "seed",
            "seeds",
            "executor",
            "workers",
            "refit",
            "qat",
        ),
        options.RUN: ("out", "resume", "config", "assignments"),
    },
)
def distill(
    changes: dict[str, Any],
    student: Annotated[
        str | None,
        Option(
            help="Run directory of a search or a student, or a model YAML. (default: the last search)",
            rich_help_panel=options.SEARCH,
        ),
    ] = None,
    pick: Pick = "best",
    seeds: Seeds = 1,
    executor: SeedsExecutor = "local",
    workers: SeedsWorkers = None,
    refit: RefitOn = None,
    qat: Qat = False,
    out: Annotated[
        Path | None,
        Option(
            help="Run directory; the student goes into its student/. (default: the search's)",
            rich_help_panel=options.RUN,
        ),
    ] = None,
    resume: Resume = False,
    config: ConfigFile = None,
    assignments: Assignments = None,
) -> None:
    """Train the chosen network with a teacher, and score it on the test split.

    Example: distill --teacher tf_efficientnet_lite0 --student runs/photos --epochs 40

    The teacher is fine-tuned on your training images first, and its outputs are cached. To ship a
    student that learned from every image, distill --student runs/photos --refit all; for int8, add --qat.
    --tracker mlflow, tensorboard or wandb records the run there, too.
    """
    where = {"student": student, "pick": pick, "file": config, "out": out, "prefix": "distill"}
    placement = {"executor": executor, "workers": workers}
    train_chosen(changes, where, resume=resume, seeds=seeds, placement=placement, refit=refit, qat=qat)


def train_chosen(
    changes: dict[str, Any],
    where: dict[str, Any],
    *,
    resume: bool,
    seeds: int,
    placement: dict[str, Any],
    refit: Refit | None,
    qat: bool,
) -> None:
    """Train the network that ``where`` names, as :func:`minnow.settings.student_settings` takes it."""
    import sys

    from core.runtime import share_cores
    from minnow.console import interruptible
    from minnow.progress import ConsoleListener

    with ConsoleListener() as listener:
        share_cores(listener.note)
        from minnow.settings import student_settings

        chosen, settings, run = student_settings(changes, **where, resume=resume, listener=listener)
        from minnow.student_stages import Further, run_student_and_further
        from minnow.tables import show_further, show_student
        from nas.executors import Placement

        further = Further(refit, qat)

        again = [argument for argument in sys.argv[1:] if argument != "--resume"]
        if where["out"] is None and run != chosen.run:
            again += ["--out", str(run)]
        with interruptible(*again, "--resume"):
            last = run_student_and_further(
                chosen,
                settings,
                run,
                further,
                given=changes,
                file=where["file"],
                resume=resume,
                seeds=seeds,
                placement=Placement(**placement),
                listener=listener,
            )
        show_student(run, last=not further)
        if further:
            show_further(last)
