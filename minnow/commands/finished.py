"""What is done with a trained student."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from minnow.commands.options import (
    DATA_HELP,
)

Run = Annotated[Path, Argument(help="Run directory with a trained student, or the student itself.")]


def evaluate(
    run: Run,
    data: Annotated[str | None, Option(help=f"{DATA_HELP} (default: what it was trained on)")] = None,
    split: Annotated[str, Option(help="train, val, test or all.")] = "test",
    as_json: Annotated[bool, Option("--json", help="Print JSON to standard output.")] = False,
) -> None:
    """Score a trained network: macro-F1, accuracy, F1 per class, confusion matrix."""
    from minnow.commands.finished_run import evaluate as run_evaluate

    run_evaluate(run, data, split, as_json=as_json)


def compare(
    a: Annotated[Path, Argument(help="Run directory with a trained student, or the student itself.")],
    b: Annotated[Path, Argument(help="What A is compared with: another one, tested on the same images.")],
    as_json: Annotated[bool, Option("--json", help="Print JSON to standard output.")] = False,
) -> None:
    """Tell whether B is better than A on the test images, or could as well be by chance.

    Example: compare runs/alone runs/distilled

    A paired bootstrap draws the test images anew, with replacement, the same ones for both, and gives
    the difference B - A in macro-F1 with its 95 % interval and a two-sided p-value. A run that was
    trained with --seeds counts with the mean of its seeds; RUN/student and RUN/seeds/SEED name one.
    """
    from minnow.comparison import compare_students

    compare_students(a, b, as_json=as_json)


def report(
    run: Annotated[Path, Argument(help="Run directory of a search, of a trained student, or of both.")],
    out: Annotated[Path | None, Option(help="HTML file. (default: report.html in RUN)")] = None,
) -> None:
    """Write a run's page anew: history, Pareto front, what good networks share, the student's scores.

    Every search, distill and train leaves one. It opens in a browser, without a network.
    """
    from minnow.console import say
    from minnow.report.run_page import write_report

    say(f"wrote {write_report(run, out)}")


def predict(
    run: Run,
    images: Annotated[Path, Argument(help="An image, or a directory of them (searched recursively).")],
    out: Annotated[
        Path | None,
        Option(help="CSV file: file, label, probability, error, and one column per class."),
    ] = None,
    submission: Annotated[
        Path | None,
        Option(
            help="CSV file of two columns, file (its path below IMAGES) and class. Every image has a "
            "row; one that cannot be read gets the class that most others have, with a warning."
        ),
    ] = None,
    timing: Annotated[
        Path | None, Option(help="JSON file: median and IQR per image in ms, and the total in s.")
    ] = None,
) -> None:
    """Classify images one by one, and say how long it took.

    Example: predict runs/photos test/ --submission submission.csv

    Timed is everything from the file to the class: reading, decoding, resizing, network (PyTorch).
    """
    from minnow.prediction_run import predict_images

    predict_images(run, images, out=out, submission=submission, timing=timing)


def export(
    run: Run,
    out: Annotated[
        Path | None, Option(help="ONNX file. (default: model.onnx beside the weights)")
    ] = None,
) -> None:
    """Write an ONNX file with the normalisation inside, checked against PyTorch."""
    from minnow.commands.finished_run import export as run_export

    run_export(run, out)


def latency(
    model: Annotated[
        Path,
        Argument(help="Run directory (its student, else its chosen network), or a model YAML."),
    ],
    classes: Annotated[
        int | None,
        Option(help="Number of classes of a model YAML. (default: as it says, else 10)", min=2),
    ] = None,
    image_size: Annotated[
        int | None,
        Option(help="Side of the input in pixels, where a model YAML leaves it open.", min=8, max=1024),
    ] = None,
) -> None:
    """Milliseconds per image on ONNX Runtime, batch 1, 1 thread: median, IQR and n."""
    from minnow.commands.finished_run import latency as run_latency

    run_latency(model, classes, image_size)
