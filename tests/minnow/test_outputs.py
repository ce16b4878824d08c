"""No option and no argument for output destroys what is there."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

import minnow as api
from core.errors import UserError

OUTPUTS = [
    "predict {run} photo.png --out",
    "predict {run} photo.png --submission",
    "predict {run} photo.png --timing",
    "export {run} --out",
    "report {run} --out",
    "model convert {run}",
]
FOLDERS = [
    "search --space toy --trials 1 --epochs 1 --out",
    "fit --space toy --trials 1 --out",
    "train --model {run} --epochs 1 --out",
    "distill --student {run} --teacher {run} --epochs 1 --out",
    "demo --out",
    "data crop --coco coco.json --images . --out",
]


@pytest.fixture
def inputs(here: Path, finished: Path) -> str:
    """The trained run; beside it a photo and annotations."""
    from PIL import Image

    Image.new("RGB", (32, 32), "red").save(here / "photo.png")
    (here / "coco.json").write_text(
        '{"images": [{"id": 1, "file_name": "photo.png", "width": 32, "height": 32}], '
        '"categories": [{"id": 1, "name": "a"}], '
        '"annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [0, 0, 32, 32]}]}'
    )
    return str(finished / "runs/alone")


@pytest.mark.parametrize("command", OUTPUTS)
@pytest.mark.parametrize(
    ("name", "said"), [("", "'.'"), (".", "'.'"), ("/", "'/'"), ("folder", "folder")]
)
def test_a_directory_is_refused_by_name(here, inputs, minnow, command, name, said):
    (here / "folder").mkdir()
    complaint = minnow(command.format(run=inputs), name).complaint
    assert "is a directory" in complaint or "exists already" in complaint
    assert said.strip("'") in complaint
    assert sorted(os.listdir(here)) == ["coco.json", "folder", "photo.png"]


@pytest.mark.parametrize("command", FOLDERS)
@pytest.mark.parametrize("name", ["", ".", "/"])
def test_a_run_needs_a_directory_of_its_own(here, inputs, minnow, command, name):
    complaint = minnow(command.format(run=inputs), name).complaint
    assert f"{name or '.'!r} is no place of its own" in complaint
    assert sorted(os.listdir(here)) == ["coco.json", "photo.png"]


@pytest.mark.parametrize("command", OUTPUTS)
def test_links_and_pipes_stay(here: Path, inputs: str, minnow: Callable, command: str) -> None:
    os.mkfifo(here / "pipe")
    (here / "target").write_text("old")
    (here / "link").symlink_to("target")
    assert minnow(command.format(run=inputs), "pipe").code == 2  # nobody reads it
    said = minnow(command.format(run=inputs), "link")
    if "convert" in command:
        assert "exists already" in said.complaint
    else:
        assert said.code == 0 and (here / "target").read_bytes() != b"old"
    assert (here / "link").is_symlink() and stat.S_ISFIFO((here / "pipe").stat().st_mode)


def test_predictions_go_through_a_device(here, inputs, minnow):
    try:
        os.mknod(here / "null", stat.S_IFCHR | 0o600, os.makedev(1, 3))
        (here / "null").read_bytes()
    except OSError:
        pytest.skip("no device can be made here")
    assert minnow(f"predict {inputs} photo.png --out null").code == 0
    assert stat.S_ISCHR((here / "null").stat().st_mode)


def test_a_run_in_the_working_directory_goes_on(here, finished, minnow, monkeypatch):
    assert minnow(f"train --model {finished}/runs/found --epochs 1 --out new").code == 0
    monkeypatch.chdir(here / "new")
    assert (
        "is finished"
        in minnow(f"train --model {finished}/runs/found --epochs 1 --out . --resume").complaint
    )


@pytest.mark.parametrize("out", ["", ".", "/"])
def test_the_api_refuses_the_same(here, inputs, out):
    with pytest.raises(UserError, match="is a directory"):
        api.load(inputs).export(out=out)
    with pytest.raises(UserError, match="is no place of its own"):
        api.search(space="toy", trials=1, out=out)
    with pytest.raises(UserError, match="is no place of its own"):
        api.train(inputs, epochs=1, out=out)
    with pytest.raises(UserError, match="is a directory"):
        api.load(inputs).bundle.architecture.to_yaml(out)


def test_results_of_a_bench_are_refused_before_the_work(here, minnow):
    for option in ("--json", "--html"):
        command = "bench strategies --table missing.json --strategy random"
        assert "is a directory" in minnow(f"{command} {option} .").complaint
