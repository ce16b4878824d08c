"""The whole job in one call: search inside a teacher, distil, export, report."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from core.config import FIT_DEFAULTS, SearchConfig, StudentConfig
from core.config_io import dotted
from deploy.targets import DEFAULT
from distill.student_training import CHECKPOINT
from minnow import run_creation
from minnow.listener import Listener
from minnow.run_directory import BEST, Run, choose
from minnow.search_run import run_search
from minnow.settings import search_settings, student_settings
from minnow.student import Student
from minnow.student_run import run_student
from minnow.student_stages import Further
from minnow.tracking import tracked
from training.bundle_files import ONNX_FILE, STUDENT_FOLDER, WEIGHTS_FILE


def fit_settings(
    changes: Mapping[str, Any],
    *,
    file: Path | None = None,
    out: Path | None = None,
    resume: bool = False,
    listener: Listener,
) -> tuple[SearchConfig, Path]:
    """Return the settings of the search and the run directory, as of :func:`search_settings`.

    The defaults of :data:`core.config.FIT_DEFAULTS` come before those of a search.

    Raises:
        UserError: unreadable file, wrong value, a setting without effect, nothing to resume.
    """
    given = dotted(SearchConfig, changes)
    if not resume and file is None:
        given = {**FIT_DEFAULTS, **given}
    return search_settings(given, file=file, out=out, resume=resume, distilled=True, listener=listener)


def run_fit(
    config: SearchConfig,
    path: Path,
    *,
    resume: bool = False,
    further: Further,
    listener: Listener,
) -> Student:
    """Search, distil, export and report; steps that are finished in ``path`` are not repeated.

    Args:
        config: settings of the search.
        path: run directory.
        resume: continue an interrupted call.
        further: trainings after the student's own; the last student is returned.
        listener: receives progress, decisions and warnings.

    Raises:
        UserError: a setting is wrong, or no network meets the limits; or more trainings within a budget.
    """
    with run_creation.unclaimed_on_error(path), tracked(config.trackers, listener) as listener:
        return _run_fit(config, path, resume, further, listener)


def _run_fit(
    config: SearchConfig, path: Path, resume: bool, further: Further, listener: Listener
) -> Student:
    begun = time.monotonic()
    further.check_planned(config.budget, path)
    folder = path / STUDENT_FOLDER
    started, trained = (folder / CHECKPOINT).exists(), (folder / WEIGHTS_FILE).exists()
    searched = started or trained or (resume and Run(path, config.storage).has_ended(config))
    if not resume or not searched:
        run_search(config, path, resume=resume, listener=listener)
    loss = config.loss.model_dump(exclude_defaults=True)
    own = dotted(StudentConfig, {"target": config.target, "loss": loss})
    if not trained:
        chosen, settings, path = student_settings(
            {**own, "trackers": config.trackers},
            student=str(path),
            pick=BEST,
            out=path,
            prefix="distill",
            storage=config.storage,
            listener=listener,
        )
        if config.budget is not None:
            left = config.budget - (time.monotonic() - begun)
            settings = settings.model_copy(update={"budget": max(1.0, left)})
        run_student(chosen, settings, path, resume=started, listener=listener)
    last = folder
    if further:
        chosen = choose(path, BEST, config.storage)
        last = further.run(chosen, path, given=own, resume=True, listener=listener)
    student = Student(last)
    if not (student.path / ONNX_FILE).exists():
        exported = student.export("onnx", listener=listener)
        listener.note(f"ONNX file: {exported.path}, {exported.size_bytes / 1e3:,.0f} kB")
    target = student.config.target
    if target != DEFAULT and not student.shipped(target):
        shipped = student.ship(target, listener=listener)
        listener.note(
            f"{shipped.folder}: test F1 {shipped.scores.b.value:.3f} on {shipped.target}, "
            f"{shipped.latency.median_ms:.2f} ms"
        )
    return student
