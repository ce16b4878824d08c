"""The commands ``data check`` and ``data crop``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from typer import Argument, Option

from core.config import MAX_SEED, SearchConfig
from core.errors import UserError
from minnow.commands.options import DATA, DATA_HELP, RUN, Assignments, with_settings

app = typer.Typer(no_args_is_help=True, help="Look at a data set before training on it.")


@app.command("check")
@with_settings(
    SearchConfig,
    {
        DATA: ("spec", "data.size", "data.fit", "data.group_by", "assignments"),
        RUN: ("run", "out", "groups"),
    },
    keep=lambda name: name in ("data.size", "data.fit", "data.group_by"),
)
def data_check(
    changes: dict[str, Any],
    spec: Annotated[str | None, Argument(help=f"{DATA_HELP} (default: that of --run)")] = None,
    assignments: Assignments = None,
    run: Annotated[
        Path | None,
        Option(
            help="Run directory with a trained student: look for wrong labels in its data, and score it "
            "without repeated test images. (default: look at the images alone)",
            rich_help_panel=RUN,
        ),
    ] = None,
    out: Annotated[
        Path | None,
        Option(
            help="Folder for label_errors.csv and label_errors.html. (default: that of --run)",
            rich_help_panel=RUN,
        ),
    ] = None,
    groups: Annotated[
        Path | None,
        Option(
            help="CSV file: path, label, split and group of every image; those that show almost the same "
            "picture share a group. (default: none)",
            rich_help_panel=RUN,
        ),
    ] = None,
) -> None:
    """Check classes, counts, sizes, broken files, duplicates and near-duplicates; with --run, labels too.

    Example: data check --run runs/photos

    The exit code is 1 if the data set cannot be used.
    """
    from minnow.data_run import check

    if run is None and spec is None:
        raise UserError("data check needs a data set, as in photos/, or --run with a trained student")
    if run is None:
        from minnow.progress import ConsoleListener
        from minnow.settings import data_settings

        if out is not None:
            raise UserError("--out is for the tables of --run; give that too, or leave it out")
        with ConsoleListener() as listener:
            config = data_settings({**changes, "data.spec": spec}, listener)
    else:
        from minnow.run_directory import student_config
        from training.bundle_files import find_bundle

        if spec is not None or changes:
            raise UserError("with --run, data check looks at the data of the run; leave out the rest")
        config = student_config(find_bundle(run)).data
    if not check(config, run=run, out=out, groups=groups):
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
            "one split. (default: class folders; the next command then keeps photos whole by --group-by)"
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
