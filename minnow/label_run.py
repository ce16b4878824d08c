"""``data check --run``: what repeated test images do to the score, and labels that may be wrong."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich import box
from rich.markup import escape
from rich.table import Table

from core.files import write_bytes, write_text
from minnow.console import output, say
from minnow.format import interval_text
from minnow.label_check import LabelError, check_labels, errors_csv
from minnow.progress import ConsoleListener
from minnow.repeated_images import RepeatedTest, repeated_test
from minnow.report.labels_page import labels_page
from training.bootstrap import Interval
from training.data.check import Report

CSV, PAGE = "label_errors.csv", "label_errors.html"
_SHOWN = 20  # label errors in the terminal


def check_run(run: Path, report: Report, out: Path) -> None:
    """Print what a run tells about its data, and write the tables of label errors.

    Args:
        run: run directory with a trained student, or the student.
        report: on its data.
        out: folder for the tables.

    Raises:
        UserError: as :func:`minnow.label_check.check_labels`; the disk is full or read-only.
    """
    with ConsoleListener() as listener:
        checked = check_labels(run, listener)
    repeated = repeated_test(checked.student, checked.data, report)
    output().print(_score_text(repeated), highlight=False, markup=False, soft_wrap=True)
    _show(checked.errors, len(checked.data.images), checked.data.name)
    if not checked.errors:
        return
    write_bytes(out / CSV, errors_csv(checked.errors))
    page = labels_page(checked.errors, len(checked.data.images), checked.settings)
    write_text(out / PAGE, page)
    say(f"all of them in {out / CSV}; with pictures in {out / PAGE}")


def _score_text(test: RepeatedTest) -> str:
    """Return the test F1 with and without repeated images, as one line."""
    text = f"test F1 {_interval(test.all)} on {test.images:,} images"
    if test.without is None:
        return f"{text}; {test.repeated:,} of them have a duplicate or near-duplicate in train"
    return (
        f"{text}; {_interval(test.without)} without the {test.repeated:,} that have a duplicate or "
        "near-duplicate in train"
    )


def _interval(f1: Interval) -> str:
    return f"{f1.value:.4f} ({interval_text(f1.low, f1.high)})"


def _show(errors: Sequence[LabelError], images: int, name: str) -> None:
    if not errors:
        output().print(f"labels: none of {images:,} looks wrong", style="green", highlight=False)
        return
    table = Table(
        title=f"{name}: {len(errors):,} of {images:,} labels may be wrong; the clearest",
        box=box.SIMPLE_HEAD,
        title_justify="left",
    )
    for head in ("file", "split", "label", "suggested"):
        table.add_column(head)
    table.add_column("confidence", justify="right")
    table.add_column("evidence")
    for error in errors[:_SHOWN]:
        texts = (error.file, error.split, error.given, error.suggested)
        evidence = ", ".join(error.sources)
        table.add_row(*map(escape, texts), f"{error.confidence:.3f}", evidence)
    output().print(table)
