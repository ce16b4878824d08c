"""``report.html``: what a run directory holds, as one page."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.config import SearchConfig
from core.config_io import read_config
from core.errors import UserError
from core.files import write_text
from distill.seeds import STUDENT_FOLDER
from minnow.console import command, say
from minnow.format import metric_text, title_of
from minnow.listener import Listener
from minnow.report.summary import summary_of
from minnow.run_directory import ARCHITECTURE, CONFIG, Run
from nas.architecture import Architecture
from training.bundle import WEIGHTS_FILE, read_metrics

if TYPE_CHECKING:
    from minnow.report.search_section import Searched

REPORT = "report.html"


def report(run: Path, out: Path | None) -> Path:
    """Write the page of a run.

    Args:
        run: directory of a search, of a trained student, or of both.
        out: the file; ``None``: ``report.html`` in ``run``.

    Raises:
        UserError: there is nothing to report, or a file in ``run`` is damaged.
    """
    path = run / REPORT if out is None else out
    content = run_page(run)
    write_text(path, content)
    say(f"wrote {path}")
    return path


def leave_report(run: Path, listener: Listener) -> None:
    """Write the page at the end of work whose results are stored: whatever is wrong with it, warn."""
    try:
        write_text(run / REPORT, run_page(run))
    except Exception as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        listener.warn(
            f"{run / REPORT} was not written ({reason}); nothing else is missing. "
            "write it again with the command report"
        )


def run_page(run: Path) -> str:
    """The page as HTML.

    Raises:
        UserError: there is nothing to report, or a file in ``run`` is damaged.
    """
    from minnow.report import search_section as report_search
    from minnow.report import student_section as report_student
    from minnow.report.decisions import common
    from minnow.report.html import cards, page, text
    from minnow.report.settings_section import settings

    if not run.is_dir():
        raise UserError(f"{run} is no directory; give that of a search or of a trained student")
    places = (run, run / STUDENT_FOLDER)
    student = next((place for place in places if (place / WEIGHTS_FILE).is_file()), None)
    searched = None if student == run else _searched(run)
    if searched is None and student is None:
        raise UserError(f"{run} holds neither a search nor a trained student; nothing to report")
    title = f"Minnow: {run.resolve().name}"
    facts: list[tuple[str, str]] = []
    if student is not None:
        facts += _student_facts(read_metrics(student))
    if searched is not None:
        facts += _search_facts(searched)
    parts = [f"<h1>{text(title)}</h1>", _lead(run, searched, student), cards(facts)]
    parts += ["<h2>Go on</h2>", f"<pre>{text(_next(run, searched, student))}</pre>"]
    if student is not None:
        parts += report_student.trained(student)
    if searched is not None:
        parts += report_search.choice(searched)
        parts += report_search.progress(searched)
        parts += report_search.fronts(searched)
        parts += common(searched.standing.ranked(), searched.chosen)
        parts += report_search.trials_table(searched)
    parts += settings(searched, student)
    return page(title, parts)


def _searched(run: Path) -> Searched | None:
    """The search in a run directory, without trials where none has ended; ``None``: there is none."""
    from minnow.report.search_section import Searched

    if not (run / CONFIG).exists():
        return None
    config = read_config(SearchConfig, run / CONFIG)
    return Searched(run, config, summary_of(run))


def _lead(run: Path, searched: Searched | None, student: Path | None) -> str:
    """What this is, in a sentence or two."""
    from minnow.report.html import text

    said = []
    if searched is not None:
        config = searched.config
        trials = searched.summary.trials
        classes = f", {len(searched.summary.classes)} classes" if searched.summary.classes else ""
        said.append(
            f"Search of {config.space.name} by {config.strategy.name} for {searched.objectives} on "
            f"{config.data.spec}{classes}: {len(trials)} trials"
            f"{'' if len(trials) >= config.trials else f' of {config.trials}'}."
        )
        number = None if student is None else _trial_of(run, student)
        if number is not None:
            said.append(f"The student is the network of trial {number}.")
    said.append(f"Directory: {run.resolve()}")
    return f'<p class="soft">{text(" ".join(said))}</p>'


def _trial_of(run: Path, student: Path) -> int | None:
    """Return the first trial that evaluated the student's network."""
    network = Architecture.from_yaml(student / ARCHITECTURE)
    return next((t.number for t in Run(run).trials if t.architecture == network), None)


def _search_facts(searched: Searched) -> list[tuple[str, str]]:
    trials, chosen = searched.summary.trials, searched.chosen
    failed = sum(trial["metrics"] is None for trial in trials)
    facts = [("trials" + (f", {failed} failed" if failed else ""), str(len(trials)))]
    if chosen is not None:
        names = dict.fromkeys([*searched.objectives.names, "f1", "params", "macs", "latency_ms"])
        facts = [
            ("chosen: trial", str(chosen.number)),
            *((title_of(n), metric_text(n, chosen.metrics[n])) for n in names if n in chosen.metrics),
            *facts,
        ]
    return facts


def _student_facts(metrics: Mapping[str, Any]) -> list[tuple[str, str]]:
    low, high = metrics["test"]["f1_interval"]
    facts = [(f"student's test F1 ({low:.3f} to {high:.3f})", f"{metrics['test']['f1']:.3f}")]
    if metrics["teacher"] is not None:
        facts.append(("teacher's test F1", f"{metrics['teacher']['f1']:.3f}"))
    return facts


def _next(run: Path, searched: Searched | None, student: Path | None) -> str:
    """The minnow to go on with, from the directory that the page was made in."""
    steps: list[tuple[str, list[object]]] = []
    if student is not None:
        steps = [
            ("write an ONNX file", ["export", run]),
            ("score it again, or on other images", ["evaluate", run]),
            ("classify images", ["predict", run, "IMAGES"]),
        ]
    if searched is not None:
        config = searched.config
        more = max(config.trials, len(searched.summary.trials)) + 10
        if student is None and searched.summary.best is not None:
            teacher = "tf_efficientnet_lite0" if config.teacher is None else config.teacher.spec
            taught = ["distill", "--teacher", teacher, "--student", run]
            steps += [
                ("train the chosen network with a teacher", taught),
                ("train it alone", ["train", "--model", run]),
            ]
        steps.append(("search on", ["search", "--resume", "--out", run, "--trials", more]))
    steps.append(("this page anew", ["report", run]))
    return "\n".join(f"# {what}\n{command(*arguments)}" for what, arguments in steps)
