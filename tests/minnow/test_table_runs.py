"""Tables and groups from the command line to a run, and in the Python API."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

import minnow as api
from core.config import SearchConfig
from core.config_io import read_config
from core.errors import UserError


@pytest.fixture
def table(photos: Path) -> Path:
    """``labels.csv`` of 24 photos, in pairs of one scene."""
    files = sorted(path.relative_to(photos.parent).as_posix() for path in photos.rglob("*.jpg"))
    rows = [[file, file.split("/")[1], f"{file.split('/')[1]}{i // 2}"] for i, file in enumerate(files)]
    path = photos.parent / "labels.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([["file", "label", "scene"], *rows])
    return path


def test_data_check_of_a_table(table, minnow):
    said = minnow("data check labels.csv --group-by scene")
    assert said.code == 0
    assert "labels: 24 images" in said.output and "12 groups" in said.output
    assert "images from column 'file', labels from 'label'" in said.output
    said = minnow("data check labels.csv --set data.table.label=scene")
    assert said.code == 1 and "needs at least 3, one for each split" in " ".join(said.output.split())


def test_settings_without_effect_are_refused(table, minnow):
    said = minnow("data check photos --set data.table.label=scene")
    assert "data.table.label: has no effect: photos is no table" in said.complaint
    said = minnow("search --data photos --set data.table.label=scene --out new")
    assert "data.table.label: has no effect: photos is no table" in said.complaint
    assert (
        "train.epochs): has no effect" in minnow("data check labels.csv --set train.epochs=2").complaint
    )
    assert "names its splits" in minnow("data check hf:photos --set data.table.split=fold").complaint


def test_a_run_on_a_table(table, minnow):
    options = "--space toy --trials 1 --epochs 1 --confirm 0"
    said = minnow(f"search --data labels.csv --group-by scene {options} --out run")
    assert said.code == 0, said.notices
    config = read_config(SearchConfig, Path("run/config.yaml"))
    assert config.data.spec == "labels.csv" and config.data.group_by == "scene"
    assert "groups by scene" in Path("run/report.html").read_text()
    said = minnow("train --model run --epochs 1 --out student")
    assert said.code == 0 and any("12 groups" in line for line in said.notices)
    assert minnow("evaluate student").code == 0
    assert minnow("evaluate student --data photos").code == 0  # which has no scenes
    said = minnow("predict student photos/light")
    assert said.code == 0 and said.output.count(".jpg") == 12


def test_the_api_takes_the_same(table):
    options = {"space": "toy", "trials": 1, "confirm": 0, "epochs": 1}
    run = api.search(
        "labels.csv", group_by="scene", out="run", **options, **{"data.table": {"label": "label"}}
    )
    assert run.config.data.table.label == "label" and len(run.trials) == 1
    with pytest.raises(UserError, match=r"no column 'nothing' for data\.table\.label"):
        api.search("labels.csv", out="other", **options, **{"data.table.label": "nothing"})
    assert not Path("other").exists()
