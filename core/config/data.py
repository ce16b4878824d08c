"""Settings of the images."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from core.config.model import MAX_SIDE, MIN_SIDE, Seed, Settings
from core.setting import setting


class TableConfig(Settings):
    """Columns of a table of images, and the place of its images."""

    image: Annotated[
        str | None,
        setting(
            "Column of the images: paths, or names without extension.",
            auto="by its name, as in path, file_name, image or id",
        ),
    ] = None
    label: Annotated[
        str | None,
        setting("Column of the labels.", auto="by its name, as in label, class, target or category"),
    ] = None
    split: Annotated[
        str | None,
        setting(
            "Column of the splits (train, val and test, or numbered folds); 'none' ignores it.",
            auto="split or fold, if there is one",
        ),
    ] = None
    test_fold: Annotated[
        int | None,
        setting("Fold that is tested; the one before it validates.", auto="the last"),
    ] = None
    folder: Annotated[
        str | None,
        setting(
            "Folder that the names of the images start from; relative to the table, or else to the "
            "working directory.",
            auto="that of the table, or the one beside it that holds them",
        ),
    ] = None


#: All columns by their names.
USUAL_TABLE = TableConfig()


class DataConfig(Settings):
    """Images and how they are stored."""

    spec: Annotated[
        str,
        setting(
            "Directory of class folders (split 70/10/20), directory with train/ val/ test/, table of "
            "images (.csv, .jsonl, .parquet), hf:NAME_OR_PATH of the library datasets, digits, "
            "torchvision:NAME, or a YAML file with DATA_PATH.",
            option="data",
        ),
    ] = "digits"
    size: Annotated[
        int | None,
        setting(
            "Side of the stored square images, pixels.",
            auto="median short side of the images, at most 256",
            option="image-size",
            ge=MIN_SIDE,
            le=MAX_SIDE,
        ),
    ] = None
    fit: Annotated[
        Literal["squash", "crop", "pad"], setting("How an image becomes square.", option="fit")
    ] = "squash"
    split_seed: Annotated[Seed, setting("Seed of the 70/10/20 split.")] = 0
    val_share: Annotated[
        float | None,
        setting(
            "Share of the images outside the test split that validate, for data without a val/ folder.",
            auto="an eighth",
            gt=0,
            lt=1,
        ),
    ] = None
    labels_per_class: Annotated[
        int | None,
        setting(
            "Images of each class to train and validate on, for learning curves; the test split stays.",
            auto="all",
            ge=2,
        ),
    ] = None
    unlabelled: Annotated[
        str | None,
        setting(
            "Directory of more images, at any depth and without labels: students learn the teacher's "
            "outputs on them too.",
            auto="none",
            option="unlabelled",
        ),
    ] = None
    licence: Annotated[
        str | None,
        setting("Licence of the images, for the model card, as in cc-by-4.0.", auto="unknown"),
    ] = None
    group_by: Annotated[
        str | None,
        setting(
            "Keep images of one object, scene or burst in one split: a column of the table, or a regular "
            "expression whose first group, or whole match, in an image's relative path names its group.",
            auto="none",
            option="group-by",
        ),
    ] = None
    table: TableConfig = Field(default_factory=TableConfig)


#: What a student is trained on in the end: the validation images too, or all images.
Refit = Literal["val", "all"]
