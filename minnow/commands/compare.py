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
    from minnow.comparison import compare_students

    compare_students(a, b, as_json=as_json)
