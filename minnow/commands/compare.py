"""The command ``compare``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Argument

from minnow.commands.options import Json, StudentRun


def compare(
    a: StudentRun,
    b: Annotated[Path, Argument(help="The run to compare A with, tested on the same images.")],
    as_json: Json = False,
) -> None:
    """Tell whether B is better than A on the test images, or whether it may be chance.

    Example: compare runs/alone runs/distilled

    A paired bootstrap over the test images gives the difference B - A in macro-F1, its 95 % interval
    and a two-sided p-value. A run of several seeds counts with the mean of its seeds.
    """
    import json

    from minnow.comparison import compare_students
    from minnow.console import output, say
    from minnow.tables import difference_table

    comparison = compare_students(a, b)
    if as_json:
        output().print_json(json.dumps(comparison.to_dict()))
        return
    output().print(difference_table(comparison))
    say(
        "Intervals and p-value cover the choice of test images, with the weights as they are; "
        "the sd covers the choice of seeds."
    )
