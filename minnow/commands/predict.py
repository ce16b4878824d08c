"""The command ``predict``."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from core.errors import UserError
from core.files import write_json
from core.output_path import check_file
from minnow.commands.options import StudentRun
from minnow.console import output, say, warn


def predict(
    run: StudentRun,
    images: Annotated[Path, Argument(help="An image, or a directory of images (searched recursively).")],
    out: Annotated[
        Path | None,
        Option(help="CSV file: file, label, probability, error, and one column per class."),
    ] = None,
    submission: Annotated[
        Path | None,
        Option(
            help="CSV file with the columns file (path below IMAGES) and class, one row per image; an "
            "unreadable image gets the most frequent class, with a warning."
        ),
    ] = None,
    timing: Annotated[
        Path | None, Option(help="JSON file: median and IQR per image in ms, total in s.")
    ] = None,
) -> None:
    """Classify images one by one, and time it.

    Example: predict runs/photos test/ --submission submission.csv

    The time covers everything from file to class: reading, decoding, resizing, network (PyTorch).
    """
    from deploy.classifier import Classifier
    from deploy.prediction import (
        Timing,
        predict_files,
        renamed_in_csv,
        write_csv,
        write_submission,
    )
    from minnow.format import counted
    from training.bundle import load_bundle

    outputs = [path for path in (out, submission, timing) if path is not None]
    for path in outputs:
        check_file(path)
    places = [path.resolve() for path in outputs]
    if len(set(places)) < len(places):
        raise UserError("--out, --submission and --timing need a file each")
    classifier = Classifier(load_bundle(run))
    predicted = predict_files(classifier, images)
    _name_others(images)
    rows = []
    counts: Counter[str] = Counter()
    for row in predicted:
        rows.append(row)
        if row.error is not None:
            warn(row.error)
            continue
        counts[row.label] += 1
        if out is None and submission is None:
            line = f"{row.file}\t{row.label}\t{row.probability:.4f}"
            output().print(line, highlight=False, markup=False, soft_wrap=True)
    if not counts:
        raise UserError(f"{images}: none of its images can be read; see the warnings above")
    total, measured = len(rows), Timing.of(rows)
    if out is not None:
        write_csv(rows, out)
        say(f"{counted(total, 'image')} in {out}")
    if submission is not None:
        guessed = write_submission(rows, submission, images)
        if guessed is not None:
            files = f"{measured.unreadable} of {total} files"
            warn(f"unreadable, and in the submission of the most frequent class, {guessed}: {files}")
        say(f"{counted(total, 'row')} in {submission}")
    for table, root in ((out, None), (submission, images)):
        if table is not None and (notice := renamed_in_csv(rows, root)) is not None:
            warn(f"in {table}, {notice}")
    if timing is not None:
        write_json(timing, measured.to_dict())
    say(
        f"per image {measured.median_ms:.2f} ms median, {measured.iqr_ms:.2f} ms IQR, total "
        f"{measured.total_seconds:.2f} s: {measured.included}"
    )
    shares = ", ".join(f"{label} {count}" for label, count in counts.most_common())
    say(f"{sum(counts.values())} of {counted(total, 'image')}: {shares}")


def _name_others(images: Path) -> None:
    """Name the files that get no row."""
    from deploy.prediction import left_out

    remarks = left_out(images)
    for line in remarks.notes:
        say(f"without a row: {line}")
    for line in remarks.warnings:
        warn(f"without a row: {line}")
