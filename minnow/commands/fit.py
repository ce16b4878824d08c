"""The command ``fit``."""

from __future__ import annotations

from typing import Any

from core.config import FIT_DEFAULTS, SearchConfig
from minnow.commands import options
from minnow.commands.options import (
    Assignments,
    ConfigFile,
    Qat,
    RefitOn,
    Resume,
    SearchOut,
    with_settings,
)


@with_settings(
    SearchConfig,
    {
        options.DATA: ("data.spec", "data.size", "data.group_by", "data.unlabelled"),
        options.SEARCH: ("space.name", "trials", "budget"),
        options.GOALS: ("objectives", "limits", "target"),
        options.TEACHER: ("teacher.spec", "base.spec"),
        options.TRAINING: ("refit", "qat", "seed"),
        options.RUN: ("out", "resume", "trackers", "config", "assignments"),
    },
    defaults=FIT_DEFAULTS,
)
def fit(
    changes: dict[str, Any],
    refit: RefitOn = None,
    qat: Qat = False,
    out: SearchOut = None,
    resume: Resume = False,
    config: ConfigFile = None,
    assignments: Assignments = None,
) -> None:
    """Search inside a teacher, distil the best network, export it to ONNX, and write the report.

    Example: fit --data photos/ --limit 'latency_ms<=1' --budget 30m

    A stopped run continues with fit --resume --out RUN; finished steps are not repeated.
    """
    from core.runtime import share_cores
    from minnow.console import interruptible
    from minnow.progress import ConsoleListener
    from minnow.typed import resuming

    with ConsoleListener() as listener:
        share_cores(listener.note)
        from minnow.fit_run import fit_settings, run_fit
        from minnow.run_directory import Run
        from minnow.student_stages import Further
        from minnow.tables import show_front, show_further, show_student

        settings, run = fit_settings(changes, file=config, out=out, resume=resume, listener=listener)
        further = Further(refit, qat)
        with interruptible(*resuming("fit", settings, run), *further.options):
            student = run_fit(settings, run, resume=resume, further=further, listener=listener)
        show_front(Run(run, settings.storage))
        show_student(run, last=not further)
        if further:
            show_further(student.path)
