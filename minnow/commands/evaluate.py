"""The command ``evaluate``."""

from __future__ import annotations

from typing import Annotated

from typer import Option

from minnow.commands.options import DATA_HELP, Json, StudentRun


def evaluate(
    run: StudentRun,
    data: Annotated[str | None, Option(help=f"{DATA_HELP} (default: as in its training)")] = None,
    split: Annotated[str, Option(metavar="[train|val|test|all]", help="Split to score on.")] = "test",
    target: Annotated[
        str | None,
        Option(
            help="Score it as this target computes, int8 with its usual quantisation. (default: PyTorch)"
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Score a trained network: macro-F1, accuracy, F1 per class, confusion matrix."""
    import json

    from minnow.console import output, say
    from minnow.progress import ConsoleListener
    from minnow.student import Student
    from minnow.tables import scores_table

    student = Student(run)
    if data is None:
        say(f"no --data given: using {student.config.data.spec}, which it was trained on")
    with ConsoleListener() as listener:
        evaluation = student.evaluate(data, split=split, target=target, listener=listener)
    if as_json:
        output().print_json(json.dumps(evaluation.to_dict()))
    else:
        scores = evaluation.scores
        output().print(scores_table(scores.to_dict(), evaluation.classes, scores.images))
