"""The commands ``model show`` and ``model convert``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from typer import Argument, Option

from core.config import MAX_SIDE, MIN_SIDE
from minnow.commands.options import Json, Pick

app = typer.Typer(no_args_is_help=True, help="Look at a network, or write it as a model file.")


Network = Annotated[
    str, Argument(help="A model YAML, the run directory of a search, or that of a trained student.")
]


Classes = Annotated[
    int | None,
    Option(help="Width of the classifier. (default: the run's, or what the file says)", min=1),
]
ImageSize = Annotated[
    int | None, Option(help="Input side, for a file that says none, pixels.", min=MIN_SIDE, max=MAX_SIDE)
]


@app.command("show")
def model_show(
    network: Network,
    pick: Pick = "best",
    classes: Classes = None,
    image_size: ImageSize = None,
    time: Annotated[bool, Option("--latency/--no-latency", help="Measure it on this machine.")] = True,
    as_json: Json = False,
) -> None:
    """Print layers, shapes, parameters, multiply-adds and latency.

    Example: model show mobilenetv3.yaml --image-size 96
    """
    from minnow.model_text import show

    show(network, pick, classes, image_size, time=time, as_json=as_json)


@app.command("convert")
def model_convert(
    network: Network,
    out: Annotated[Path, Argument(help="Model YAML to write.")],
    pick: Pick = "best",
    classes: Classes = None,
    image_size: ImageSize = None,
) -> None:
    """Write a network as a model file: one row per layer, every multiple resolved.

    Example: model convert runs/photos --pick 12 found.yaml
    """
    from minnow.model_text import convert

    convert(network, out, pick, classes, image_size)
