"""``data``: before anything is trained."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from typer import Argument, Option

from minnow.commands.options import (
    DATA_HELP,
    Fit,
    Size,
)

app = typer.Typer(no_args_is_help=True, help="Look at a data set before training on it.")


@app.command("check")
def data_check(
    spec: Annotated[str, Argument(help=DATA_HELP)],
    image_size: Size = None,
    fit: Fit = None,
) -> None:
    """Classes, counts, sizes, broken files, and exact duplicates across classes or splits.

    Ends with exit code 1 where the data set cannot be used.
    """
    from minnow.data_run import check
    from minnow.settings import data_settings

    if not check(data_settings({"spec": spec, "size": image_size, "fit": fit})):
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
            "are left out unless '*' names a class for them. taco6 ships: TACO's 60 categories as Metal, "
            "Paper, Paperpack, Plastic, Plasticbag, Styrofoam. (default: every category is a class)",
        ),
    ] = None,
    margin: Annotated[
        float, Option(help="Share of a box's longer side that is added on every side.")
    ] = 0.1,
    min_side: Annotated[
        float, Option(help="Leave out boxes whose shorter side has fewer pixels than this.")
    ] = 20,
    split: Annotated[
        str | None,
        Option(
            help="70/10/20 for train/val/test or 80/20 for train/val: in proportion for every class, all "
            "crops of a photo in one part. (default: class folders alone; search splits them, but does "
            "not know which crops are of one photo, so that its parts share photos)"
        ),
    ] = None,
    seed: Annotated[int, Option(help="Of the split.", min=0)] = 0,
) -> None:
    """Cut the boxes of annotated photos out: one image per box, in a folder per class.

    Example: data crop --coco annotations.json --images photos/ --out crops/ --map taco6 --split 70/10/20

    Photos with an EXIF orientation are turned. Width and height in the file tell whether its boxes are
    for the turned photo; where they fit both, they are: programs show photos turned to who draws boxes.
    """
    from minnow.crop_run import crop

    crop(coco, images, out, map_name=map_name, margin=margin, min_side=min_side, split=split, seed=seed)
