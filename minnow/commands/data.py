"""The commands ``data check`` and ``data crop``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from typer import Argument, Option

from core.config import MAX_SEED, SearchConfig
from minnow.commands.options import DATA, DATA_HELP, Assignments, with_settings

app = typer.Typer(no_args_is_help=True, help="Look at a data set before training on it.")


@app.command("check")
@with_settings(
    SearchConfig,
    {DATA: ("spec", "data.size", "data.fit", "data.group_by", "assignments")},
    keep=lambda name: name in ("data.size", "data.fit", "data.group_by"),
)
def data_check(
    changes: dict[str, Any],
    spec: Annotated[str, Argument(help=DATA_HELP)],
    assignments: Assignments = None,
) -> None:
    """Check classes, counts, sizes, broken files, and exact duplicates across classes or splits.

    The exit code is 1 if the data set cannot be used.
    """
    from minnow.data_run import check
    from minnow.progress import ConsoleListener
    from minnow.settings import data_settings

    with ConsoleListener() as listener:
        config = data_settings({**changes, "data.spec": spec}, listener)
    if not check(config):
        raise typer.Exit(1)


@app.command("crop")
def data_crop(
    coco: Annotated[Path, Option(help="JSON file with boxes in COCO's format.")],
    images: Annotated[Path, Option(help="Folder that the file names in it start from.")],
    out: Annotated[Path, Option(help="Folder for the crops; must be empty or missing.")],
    map_name: Annotated[
        str | None,
        Option(
            "--map",
            help="YAML file that merges categories, in lines like 'Metal: [Drink can, Food Can]'; others "
            "are left out unless '*' names a class for them. taco6 is built in: TACO's 60 categories as "
            "6 classes. (default: every category is a class)",
        ),
    ] = None,
    margin: Annotated[
        float, Option(help="Margin on every side, as a share of the box's longer side.")
    ] = 0.1,
    min_side: Annotated[float, Option(help="Least length of a box's shorter side, pixels.")] = 20,
    split: Annotated[
        str | None,
        Option(
            help="70/10/20 for train/val/test or 80/20 for train/val, per class; all crops of a photo in "
            "one split. (default: class folders; a search then keeps photos whole with --group-by "
            "'([^/]+)-box')"
        ),
    ] = None,
    seed: Annotated[int, Option(help="Seed of the split.", min=0, max=MAX_SEED)] = 0,
) -> None:
    """Cut out the boxes of annotated photos: one image per box, in a folder per class.

    Example: data crop --coco annotations.json --images photos/ --out crops/ --map taco6 --split 70/10/20

    Photos with an EXIF orientation are turned. Width and height in the file tell whether its boxes are
    for the turned photo; if both fit, they are.
    """
    from minnow.data_run import crop

    crop(coco, images, out, map_name=map_name, margin=margin, min_side=min_side, split=split, seed=seed)
