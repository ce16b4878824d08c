"""``report.html``: the search and the student in a run directory, on one page."""

from __future__ import annotations

from pathlib import Path

from core.errors import UserError
from core.files import write_text
from minnow.console import command
from minnow.listener import Listener
from minnow.run_directory import Run
from minnow.typed import resuming
from nas.architecture import Architecture
from training.bundle_files import ARCHITECTURE_FILE, CONFIG_FILE, STUDENT_FOLDER, WEIGHTS_FILE

REPORT = "report.html"


def write_report(run: Path, out: Path | None = None) -> Path:
    """Write the page of a run and return its path.

    Args:
        run: directory of a search, of a trained student, or of both.
        out: the file; ``None``: ``report.html`` in ``run``.

    Raises:
        UserError: there is nothing to report, or a file in ``run`` is damaged.
    """
    path = run / REPORT if out is None else out
    write_text(path, run_page(run))
    return path


def leave_report(run: Path, listener: Listener, storage: str | None = None) -> None:
    """Write the page after work whose results are stored; any defect is only a warning.

    Args:
        run: as of :func:`write_report`.
        listener: receives the warning.
        storage: URL of the study, see :class:`minnow.run_directory.Run`.
    """
    try:
        write_text(run / REPORT, run_page(run, storage))
    except Exception as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        listener.warn(
            f"{run / REPORT} was not written ({reason}); nothing else is missing. "
            f"Write it again with: {command('report', run)}"
        )


def run_page(path: Path, storage: str | None = None) -> str:
    """Return the page as HTML.

    Args:
        path: directory of a search, of a trained student, or of both.
        storage: URL of the study, see :class:`minnow.run_directory.Run`.

    Raises:
        UserError: there is nothing to report, or a file in the directory is damaged.
    """
    from minnow.report.rendering import render_page
    from minnow.report.search_section import search_facts, search_section
    from minnow.report.student_section import student_facts, student_section

    if not path.is_dir():
        raise UserError(f"{path} is no directory; give that of a search or of a trained student")
    folders = (path, path / STUDENT_FOLDER)
    student = next((folder for folder in folders if (folder / WEIGHTS_FILE).is_file()), None)
    run = Run(path, storage) if student != path and (path / CONFIG_FILE).exists() else None
    if run is None and student is None:
        raise UserError(f"{path} holds neither a search nor a trained student; nothing to report")
    facts = [] if student is None else student_facts(student)
    facts += [] if run is None else search_facts(run)
    trained = None if student is None else student_section(student)
    search = None if run is None else search_section(run)
    plots = (trained and trained["learning"]) or (search and (search["history"] or search["timeline"]))
    return render_page(
        "run.html.jinja",
        f"Minnow: {path.resolve().name}",
        plots=bool(plots),
        lead=_lead(path, run, student),
        facts=facts,
        next_steps=_next_steps(path, run, student),
        student=trained,
        search=search,
    )


def _lead(path: Path, run: Run | None, student: Path | None) -> str:
    """Return what the run is, in a sentence or two."""
    sentences = []
    if run is not None:
        config, count = run.config, len(run.trials)
        classes = f", {len(run.classes)} classes" if run.classes else ""
        sentences.append(
            f"Search of {config.space.name} by {config.strategy.name} for {run.objectives} on "
            f"{config.data.spec}{classes}: {count} trials"
            f"{'' if count >= config.trials else f' of {config.trials}'}."
        )
        number = None if student is None else _trial_of(run, student)
        if number is not None:
            sentences.append(f"The student is the network of trial {number}.")
    return " ".join([*sentences, f"Directory: {path.resolve()}"])


def _trial_of(run: Run, student: Path) -> int | None:
    """Return the first trial that evaluated the student's network."""
    network = Architecture.from_yaml(student / ARCHITECTURE_FILE)
    return next((trial.number for trial in run.trials if trial.architecture == network), None)


def _next_steps(path: Path, run: Run | None, student: Path | None) -> str:
    """Return the commands to type next, from the directory that the page was written in."""
    steps: list[tuple[str, list[object]]] = []
    if student is not None:
        steps = [
            ("write an ONNX file", ["export", path]),
            ("score it again, or on other images", ["evaluate", path]),
            ("classify images", ["predict", path, "IMAGES"]),
        ]
    if run is not None:
        config = run.config
        if student is None and run.best is not None:
            teacher = "tf_efficientnet_lite0" if config.teacher is None else config.teacher.spec
            distill = ["distill", "--teacher", teacher, "--student", path]
            steps += [
                ("train the chosen network with a teacher", distill),
                ("train it alone", ["train", "--model", path]),
            ]
        more = max(config.trials, len(run.trials)) + 10
        steps.append(("continue the search", [*resuming("search", config, path), "--trials", more]))
    steps.append(("write this page again", ["report", path]))
    return "\n".join(f"# {purpose}\n{command(*arguments)}" for purpose, arguments in steps)
