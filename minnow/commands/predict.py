"""The command ``predict``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from minnow.commands.options import StudentRun


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
    from minnow.prediction_run import predict_images

    predict_images(run, images, out=out, submission=submission, timing=timing)
