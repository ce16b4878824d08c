"""The data YAML of other workflows, given in place of a data directory: its keys become settings.

It is written for SGD with momentum 0.9 and no weight decay, a peak learning rate of ``INIT_LR``, and half
precision on a GPU if ``FP16`` is true.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from core.cache import expanded
from core.config import MAX_SIDE, MIN_SIDE
from core.config_io import read_config
from core.errors import UserError
from minnow.listener import Listener

_ENDINGS = (".yaml", ".yml")
_MAX_MAGNITUDE = 30  # of RandAugment


def _number(value: Any) -> Any:
    """Return the number in a text: YAML reads 1e-3 as text, since it has no point."""
    if not isinstance(value, str):
        return value
    try:
        return float(value)
    except ValueError:
        raise ValueError("input should be a number") from None


_MEANINGS = {
    ("train.precision", "auto"): " (bfloat16 on a GPU that has it, else float32)",
    ("train.optimizer", "sgd"): " (momentum 0.9)",
}
_NO_SHARE = "VAL_RATIO: 0 changes nothing: val/ validates, and without one the default share"
_Number = Annotated[float, BeforeValidator(_number)]


class _Keys(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class RandAugmentKeys(_Keys):
    """Keys of ``AUG_TRAIN_PARAMS``.

    They are the operations per image, and their strength: ``level`` of ``n_level``, or with null or 0
    a random one for each image and operation. Missing keys have the defaults of the scripts, and so have
    the other ones where they are null.
    """

    n_select: Annotated[int, Field(ge=0, le=8)] = 2
    level: Annotated[int | None, Field(ge=0)] = 14
    n_level: Annotated[int, Field(ge=1)] = 31

    @model_validator(mode="before")
    @classmethod
    def _without_nulls(cls, keys: Any) -> Any:
        if not isinstance(keys, Mapping):
            return keys
        optional = {"n_select", "n_level"}
        return {key: value for key, value in keys.items() if value is not None or key not in optional}


class DataFile(_Keys):
    """The keys of a data YAML; missing and null ones leave Minnow's settings as they are."""

    DATA_PATH: str | None = None
    DATASET: str | None = None
    IMG_SIZE: Annotated[int | None, Field(ge=MIN_SIDE, le=MAX_SIDE)] = None
    AUG_TRAIN: Literal["randaugment_train", "simple_augment_train"] | None = None
    AUG_TRAIN_PARAMS: RandAugmentKeys | None = None
    AUG_TEST: Literal["simple_augment_test"] | None = None
    AUG_TEST_PARAMS: None = None
    BATCH_SIZE: Annotated[int | None, Field(ge=2)] = None
    EPOCHS: Annotated[int | None, Field(ge=1)] = None
    VAL_RATIO: Annotated[_Number | None, Field(ge=0, lt=1)] = None
    INIT_LR: Annotated[_Number | None, Field(gt=0)] = None
    FP16: bool | None = None


def is_data_file(spec: object) -> bool:
    """Return whether ``data.spec`` names a YAML file."""
    return isinstance(spec, str) and spec.lower().endswith(_ENDINGS) and not Path(spec).is_dir()


def read_data_file(path: Path) -> dict[str, dict[str, Any]]:
    """Return the dotted settings of each key; DATASET, AUG_TEST and a VAL_RATIO of 0 have none.

    Raises:
        UserError: missing, not YAML, an unknown key (lists the known ones), a wrong value.
    """
    file = read_config(DataFile, path, "data file")
    if not file.DATA_PATH:
        raise UserError(f"{path}: DATA_PATH is missing; it says where the images are")
    settings: dict[str, dict[str, Any]] = {
        "DATA_PATH": {"data.spec": _place(file.DATA_PATH, path.parent)}
    }
    for key, setting, value in (
        ("IMG_SIZE", "data.size", file.IMG_SIZE),
        ("VAL_RATIO", "data.val_share", file.VAL_RATIO or None),
        ("BATCH_SIZE", "train.batch_size", file.BATCH_SIZE),
        ("EPOCHS", "train.epochs", file.EPOCHS),
    ):
        if value is not None:
            settings[key] = {setting: value}
    if file.VAL_RATIO == 0:
        settings["VAL_RATIO"] = {}
    settings |= _augmentation(file, path)
    if file.INIT_LR is not None:
        settings["INIT_LR"] = {
            "train.optimizer": "sgd",
            "train.learning_rate": file.INIT_LR,
            "train.weight_decay": 0.0,
        }
    if file.FP16 is not None:
        settings["FP16"] = {"train.precision": "auto" if file.FP16 else "float32"}
    return settings


def with_data_file(
    changes: Mapping[str, Any], listener: Listener, *, only: str = ""
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return the changes with the settings of the data file, if ``data.spec`` names one.

    Args:
        changes: dotted setting to value; they win over the file.
        listener: receives one line about what was taken from the file.
        only: start of the names of the settings that matter.

    Returns:
        The settings, and the names of those that come from the file.

    Raises:
        UserError: see :func:`read_data_file`.
    """
    spec = changes.get("data.spec")
    if spec is None or not is_data_file(spec):
        return dict(changes), ()
    path = expanded(spec)
    given = {name: value for name, value in changes.items() if name != "data.spec"}
    taken: dict[str, Any] = {}
    words, overridden = [], []
    for key, settings in read_data_file(path).items():
        optimizer = given.get("train.optimizer", "sgd")
        if key == "INIT_LR" and optimizer != "sgd":  # others need other rates
            overridden.append(f"INIT_LR (it is for sgd, not for {optimizer})")
            continue
        if key == "VAL_RATIO" and not settings:
            words.append(_NO_SHARE)
            continue
        new = {n: v for n, v in settings.items() if n.startswith(only) and n not in given}
        overridden += [f"{name} of {key}" for name in settings if name in given]
        if new:
            taken |= new
            meaning = ", ".join(f"{n} {v}" + _MEANINGS.get((n, v), "") for n, v in new.items())
            words.append(f"{key}: {meaning}")
    rest = f"; not taken, since other values were given: {', '.join(overridden)}" if overridden else ""
    listener.note(f"{path}: {'; '.join(words)}{rest}")
    return {**changes, **taken}, tuple(taken)


def images_of(spec: str) -> str:
    """Return the place of the images that ``data.spec`` names, directly or by a data YAML."""
    if not is_data_file(spec):
        return spec
    path = expanded(spec)
    return str(read_data_file(path)["DATA_PATH"]["data.spec"])


def _place(text: str, folder: Path) -> str:
    """Return the path beside the file if it exists, else from the working directory."""
    path = expanded(text)
    beside = folder / path
    return str(beside) if beside.exists() else text


def _augmentation(file: DataFile, path: Path) -> dict[str, dict[str, Any]]:
    params = file.AUG_TRAIN_PARAMS
    if file.AUG_TRAIN == "simple_augment_train":
        if params is not None:
            raise UserError(
                f"{path}: AUG_TRAIN_PARAMS belongs to AUG_TRAIN: randaugment_train; remove it"
            )
        return {"AUG_TRAIN": {"augment.operations": 0}}
    if file.AUG_TRAIN is None and params is None:
        return {}
    params = params or RandAugmentKeys()
    level, most = params.level or 0, params.n_level
    if level > most:
        raise UserError(
            f"{path}: AUG_TRAIN_PARAMS.level is {level}: of {most} levels it can be 1 to {most}, or null"
        )
    magnitude = round((level or most) * _MAX_MAGNITUDE / most)
    settings = {"augment.operations": params.n_select, "augment.magnitude": magnitude}
    return {"AUG_TRAIN": settings if level else {**settings, "augment.random_magnitude": True}}
