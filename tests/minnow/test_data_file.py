"""``--data FILE.yaml``: what each key becomes, what wins, what is wrong, and that runs need it no more."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from core.config import SearchConfig
from core.errors import UserError
from minnow.data_file import is_data_file, read_data_file, with_data_file
from minnow.listener import Listener
from minnow.progress import ConsoleListener
from minnow.settings import data_settings, search_settings

WHOLE = """
DATA_PATH: photos
DATASET: TACO
AUG_TRAIN: randaugment_train
AUG_TRAIN_PARAMS: {n_select: 3, level: 14, n_level: 31}
AUG_TEST: simple_augment_test
AUG_TEST_PARAMS: null
IMG_SIZE: 96
BATCH_SIZE: 32
EPOCHS: 100
VAL_RATIO: 0.2
INIT_LR: 0.1
FP16: True
"""
SETTINGS = {
    "data.spec": "photos",
    "data.size": 96,
    "data.val_share": 0.2,
    "train.batch_size": 32,
    "train.epochs": 100,
    "augment.operations": 3,
    "augment.magnitude": 14,
    "train.optimizer": "sgd",
    "train.learning_rate": 0.1,
    "train.weight_decay": 0.0,
    "train.precision": "auto",
}


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MINNOW_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("sys.argv", ["cli.py"])


def _write(text: str, name: str = "taco.yaml") -> str:
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    Path(name).write_text(text)
    return name


def _taken(text: str, **options: object) -> dict[str, object]:
    settings, _ = with_data_file({"data.spec": _write(text), **options}, ConsoleListener())
    return settings


def test_every_key() -> None:
    assert _taken(WHOLE) == SETTINGS


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("DATASET: TACO", {}),
        ("AUG_TEST: simple_augment_test", {}),
        ("IMG_SIZE: 64", {"data.size": 64}),
        ("BATCH_SIZE: 2", {"train.batch_size": 2}),
        ("EPOCHS: 1", {"train.epochs": 1}),
        ("VAL_RATIO: 5e-1", {"data.val_share": 0.5}),
        ("FP16: true", {"train.precision": "auto"}),
        ("FP16: false", {"train.precision": "float32"}),
        ("AUG_TRAIN: simple_augment_train", {"augment.operations": 0}),
        ("AUG_TRAIN: randaugment_train", {"augment.operations": 2, "augment.magnitude": 14}),
        ("AUG_TRAIN_PARAMS: {n_select: 0}", {"augment.operations": 0, "augment.magnitude": 14}),
        (
            "AUG_TRAIN_PARAMS: {n_select: 3, level: null, n_level: null}",
            {"augment.operations": 3, "augment.magnitude": 30, "augment.random_magnitude": True},
        ),
        (
            "AUG_TRAIN_PARAMS: {level: 0}",
            {"augment.operations": 2, "augment.magnitude": 30, "augment.random_magnitude": True},
        ),
        (
            "AUG_TRAIN_PARAMS: {level: 5, n_level: 10}",
            {"augment.operations": 2, "augment.magnitude": 15},
        ),
        (
            "AUG_TRAIN_PARAMS: {level: 31}",
            {"augment.operations": 2, "augment.magnitude": 30},
        ),
        (
            "AUG_TRAIN_PARAMS: null\nAUG_TRAIN: randaugment_train",
            {"augment.operations": 2, "augment.magnitude": 14},
        ),
        ("VAL_RATIO: 0", {}),
        ("VAL_RATIO: 0.0", {}),
        (
            "INIT_LR: 1e-2",
            {"train.optimizer": "sgd", "train.learning_rate": 0.01, "train.weight_decay": 0.0},
        ),
    ],
)
def test_single_keys_leave_the_rest(line: str, expected: dict[str, object]) -> None:
    assert _taken(f"DATA_PATH: photos\n{line}\n") == {"data.spec": "photos", **expected}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("IMGSIZE: 3", ["taco.yaml", "'IMGSIZE'", "DATA_PATH, DATASET, IMG_SIZE", "FP16"]),
        ("AUG_TRAIN_PARAMS: {n: null}", ["'AUG_TRAIN_PARAMS.n'", "n_select, level, n_level"]),
        ("AUG_TRAIN_PARAMS: 3", ["AUG_TRAIN_PARAMS", "got 3"]),
        ("AUG_TRAIN_PARAMS: {n: 3}", ["'AUG_TRAIN_PARAMS.n'", "n_select, level, n_level"]),
        ("IMG_SIZE: '96'", ["IMG_SIZE", "'96'"]),
        ("IMG_SIZE: 4", ["IMG_SIZE", "greater than or equal to 8"]),
        ("BATCH_SIZE: 64.5", ["BATCH_SIZE", "64.5"]),
        ("BATCH_SIZE: true", ["BATCH_SIZE", "True"]),
        ("EPOCHS: 0", ["EPOCHS"]),
        ("VAL_RATIO: 1.0", ["VAL_RATIO", "less than 1"]),
        ("VAL_RATIO: some", ["VAL_RATIO: input should be a number, got 'some'"]),
        ("INIT_LR: 0", ["INIT_LR", "greater than 0"]),
        ("INIT_LR: .nan", ["line 2, column 10", "'.nan' is no finite number"]),
        ("INIT_LR: true", ["INIT_LR", "True"]),
        ("FP16: 1", ["FP16"]),
        ("AUG_TRAIN: autoaugment", ["AUG_TRAIN", "randaugment_train", "'autoaugment'"]),
        ("AUG_TEST: ten_crop", ["AUG_TEST", "simple_augment_test"]),
        ("AUG_TEST_PARAMS: {a: 1}", ["AUG_TEST_PARAMS"]),
        ("AUG_TRAIN_PARAMS: {level: 32}", ["level is 32", "1 to 31", "null"]),
        ("AUG_TRAIN_PARAMS: {level: -1}", ["level"]),
        ("AUG_TRAIN_PARAMS: {n_level: 0}", ["n_level"]),
        ("VAL_RATIO: -0.1", ["VAL_RATIO", "greater than or equal to 0"]),
        ("AUG_TRAIN: simple_augment_train\nAUG_TRAIN_PARAMS: {n_select: 2}", ["randaugment_train"]),
        ("DATA_PATH: 3", ["DATA_PATH"]),
        ("DATA_PATH: null", ["DATA_PATH is missing"]),
        ("- 1", ["mapping"]),
        ("a: [", ["taco.yaml", "cannot be read"]),
    ],
)
def test_what_is_wrong(text: str, words: list[str]) -> None:
    whole = text if text[0] in "-a" or "DATA_PATH" in text else f"DATA_PATH: photos\n{text}"
    with pytest.raises(UserError) as error:
        read_data_file(Path(_write(whole)))
    assert all(word in str(error.value) for word in words) and "\n" not in str(error.value)


STOCK = """
DATA_PATH: photos
DATASET: TACO
AUG_TRAIN: randaugment_train
AUG_TEST: simple_augment_test
AUG_TRAIN_PARAMS:
  n_select: 2
  level: null
BATCH_SIZE: 16
EPOCHS: 1
FP16: true
IMG_SIZE: 32
INIT_LR: 0.1
VAL_RATIO: 0.0
"""


def test_the_stock_file_is_read_and_a_share_of_0_changes_nothing(minnow, write_images) -> None:
    """With val/ it has no effect; else the default share validates, an eighth; both are said."""
    for name, counts, sizes in (
        ("own", {"train": 16, "val": 4, "test": 4}, "32 train, 8 val, 8 test"),
        ("cut", {"train": 16, "test": 4}, "28 train, 4 val, 8 test"),
    ):
        write_images(Path(name), {f"{p}/{c}": n for p, n in counts.items() for c in ("a", "b")})
        _write(STOCK.replace("photos", name))
        said = minnow(f"search --data taco.yaml --space toy --trials 1 --out run-{name}")
        assert said.code == 0 and sizes in "".join(said.notices)
        assert "VAL_RATIO: 0 changes nothing" in "".join(said.notices)
        config = yaml.safe_load(Path(f"run-{name}/config.yaml").read_text())
        assert config["data"]["val_share"] is None
        assert config["augment"]["random_magnitude"] and config["augment"]["magnitude"] == 30


def test_the_path_is_beside_the_file_if_it_is_there() -> None:
    name = _write("DATA_PATH: ../photos\n", "configs/taco.yaml")
    assert read_data_file(Path(name))["DATA_PATH"] == {"data.spec": "../photos"}
    Path("photos").mkdir()
    assert (
        Path(read_data_file(Path(name))["DATA_PATH"]["data.spec"]).resolve() == Path("photos").resolve()
    )
    absolute = _write("DATA_PATH: /nowhere/photos\n", "configs/taco.yaml")
    assert read_data_file(Path(absolute))["DATA_PATH"] == {"data.spec": "/nowhere/photos"}
    assert read_data_file(Path(_write("DATA_PATH: digits\n")))["DATA_PATH"] == {"data.spec": "digits"}


def test_what_is_a_data_file() -> None:
    Path("folder.yaml").mkdir()
    assert is_data_file("a.yaml") and is_data_file("x/B.YML")
    assert not any(map(is_data_file, (None, "digits", "torchvision:CIFAR10", "photos/", "folder.yaml")))
    with pytest.raises(UserError, match=r"^data file nothing\.yaml does not exist$"):
        with_data_file({"data.spec": "nothing.yaml"}, Listener())


def test_options_win_over_the_file_and_the_file_over_defaults_and_config(capsys) -> None:
    options = {"train.epochs": 3, "data.size": 64}
    assert _taken(WHOLE, **options) == {**SETTINGS, "train.epochs": 3, "data.size": 64}
    said = capsys.readouterr().err
    assert len(said.splitlines()) == 1 and said.startswith("taco.yaml: DATA_PATH: data.spec photos")
    assert "train.optimizer sgd (momentum 0.9), train.learning_rate 0.1" in said
    assert "train.precision auto (bfloat16 on a GPU that has it, else float32)" in said
    assert "other values were given: data.size of IMG_SIZE, train.epochs of EPOCHS" in said
    Path("all.yaml").write_text("train: {batch_size: 8, patience: 5}\nseed: 7\n")
    changes = {"data.spec": "taco.yaml", "train.epochs": 3}
    config, _ = search_settings(changes, file=Path("all.yaml"), out=Path("run"), listener=Listener())
    assert (config.train.batch_size, config.train.patience, config.train.epochs) == (32, 5, 3)
    assert config.seed == 7 and config.augment.operations == 3 and config.augment.cutout == 0.25
    assert "train.epochs" not in config.shared and "train.batch_size" in config.shared


def test_a_rate_for_sgd_is_not_given_to_another_optimizer(capsys) -> None:
    taken = _taken(WHOLE, **{"train.optimizer": "lamb"})
    assert taken["train.optimizer"] == "lamb"
    assert "train.learning_rate" not in taken and "train.weight_decay" not in taken
    assert "INIT_LR (it is for sgd, not for lamb)" in capsys.readouterr().err
    taken = _taken(WHOLE, **{"train.learning_rate": 0.05})
    assert (taken["train.optimizer"], taken["train.learning_rate"]) == ("sgd", 0.05)


def test_a_data_check_takes_what_is_about_data(capsys) -> None:
    config = data_settings({"data.spec": _write(WHOLE), "fit": "pad"}, ConsoleListener())
    assert (config.spec, config.size, config.val_share, config.fit) == ("photos", 96, 0.2, "pad")
    assert "EPOCHS" not in capsys.readouterr().err


@pytest.mark.slow
def test_runs_need_the_file_no_more(minnow, write_classes) -> None:
    """Search, resume and a student; and SGD at their rate tells dark from light."""
    write_classes(Path("photos"), 40)
    _write(WHOLE.replace("IMG_SIZE: 96", "IMG_SIZE: 32").replace("EPOCHS: 100", "EPOCHS: 12"))
    said = minnow("search --data taco.yaml --space toy --trials 1 --out run")
    assert said.code == 0 and "52 train, 12 val, 16 test" in "".join(said.notices)
    Path("taco.yaml").unlink()
    config = SearchConfig.model_validate(yaml.safe_load(Path("run/config.yaml").read_text()))
    assert (config.data.spec, config.data.size, config.data.val_share) == ("photos", 32, 0.2)
    assert (config.augment.operations, config.augment.magnitude) == (3, 14)
    recipe = config.train
    assert (recipe.optimizer, recipe.learning_rate, recipe.weight_decay) == ("sgd", 0.1, 0.0)
    assert (recipe.epochs, recipe.batch_size, recipe.precision) == (12, 32, "auto")
    assert minnow("search --resume --out run --trials 2").code == 0
    assert minnow("train --model run --out alone").code == 0
    student = yaml.safe_load(Path("alone/student/config.yaml").read_text())
    for name in ("optimizer", "learning_rate", "weight_decay", "epochs", "batch_size"):
        assert student["train"][name] == getattr(recipe, name)
    assert student["data"]["val_share"] == 0.2 and student["augment"]["magnitude"] == 14
    assert json.loads(Path("alone/student/metrics.json").read_text())["test"]["f1"] > 0.5
    minnow("train --model run --out other --optimizer adamw --learning-rate 0.006 --epochs 1")
    other = yaml.safe_load(Path("other/student/config.yaml").read_text())["train"]
    assert (other["optimizer"], other["learning_rate"], other["epochs"]) == ("adamw", 0.006, 1)
