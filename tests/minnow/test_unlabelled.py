"""``--unlabelled``, from the command line to the report."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import minnow as api
from minnow.listener import Listener
from training.bundle import load_bundle
from training.data.images import open_images
from training.fit import Progress


@pytest.fixture
def more(here: Path) -> Path:
    """120 digits, hardly changed, and a copy of one that is tested."""
    data, folder = open_images("digits"), here / "more"
    folder.mkdir()
    for index in data.splits["train"][:120]:
        Image.fromarray(data.images[index] ^ 1).save(folder / f"{index}.png")
    Image.fromarray(data.images[data.splits["test"][0]]).save(folder / "tested.png")
    return folder


def options(finished: Path) -> str:
    few = "--set data.labels_per_class=20"
    return f"--student {finished}/runs/found --teacher {finished}/runs/alone --epochs 2 --unlabelled more {few}"


def metrics(run: str) -> dict[str, Any]:
    return json.loads(Path(run, "student/metrics.json").read_text())


def test_a_student_learns_from_them_and_says_so(finished, more, minnow):
    said = minnow(f"distill {options(finished)} --out with")
    assert said.code == 0, said.notices
    record, text = metrics("with")["unlabelled"], "\n".join(said.notices)
    assert record["images"] == 120 and 0 < record["left_out"] < 120
    assert f"120 unlabelled images, {record['left_out']} left out: the teacher is less sure" in text
    assert "left out of more, since they train, validate or test with their label: 1" in text
    assert f"{120 - record['left_out']} images without labels" in Path("with/report.html").read_text()
    assert "unlabelled: more" in Path("with/student/config.yaml").read_text()
    assert minnow("evaluate with").code == 0

    plain = options(finished).replace("--unlabelled more ", "")
    assert minnow(f"distill {plain} --out without").code == 0
    assert metrics("without")["unlabelled"] is None
    assert metrics("without")["identity"] != metrics("with")["identity"]
    assert metrics("without")["test_pixels"] == metrics("with")["test_pixels"]
    assert metrics("without")["teacher"]["f1"] == metrics("with")["teacher"]["f1"]
    shutil.rmtree(more)
    assert minnow("evaluate with").code == 0  # a finished student needs them no more


class Stopping(Listener):
    """Stop when the student has finished its first epoch."""

    def training(self, name: str, progress: Progress) -> None:
        if "student" in name and progress.epoch == 1:
            raise KeyboardInterrupt


def interrupted(minnow: Callable, finished: Path) -> str:
    command = f"distill {options(finished)} --out stopped"
    data = {"labels_per_class": 20, "unlabelled": "more"}
    with pytest.raises(KeyboardInterrupt):
        api.distill(
            finished / "runs/found",
            teacher=str(finished / "runs/alone"),
            out="stopped",
            listener=Stopping(),
            epochs=2,
            data=data,
        )
    return command


def test_a_resumed_training_equals_an_uninterrupted_one(finished, more, minnow):
    command = interrupted(minnow, finished)
    assert minnow(f"{command} --resume").code == 0
    assert minnow(f"distill {options(finished)} --out whole").code == 0
    one, other = (load_bundle(Path(run)).model.state_dict() for run in ("stopped", "whole"))
    assert all(np.array_equal(one[name], other[name]) for name in one)
    assert metrics("stopped")["identity"] == metrics("whole")["identity"]


def test_a_resumed_training_needs_the_same_images(finished, more, minnow):
    command = interrupted(minnow, finished)
    shutil.move("more", "moved")
    assert "no directory 'more' of unlabelled images" in minnow(f"{command} --resume").complaint
    shutil.move("moved", "more")
    next(more.glob("1*.png")).unlink()
    assert "another network, data set or recipe" in minnow(f"{command} --resume").complaint


def test_without_a_teacher_they_are_refused(finished, more, minnow):
    found = f"{finished}/runs/found"
    assert "train has no teacher" in minnow(f"train --model {found} --unlabelled more").complaint
    assert "train has no teacher" in minnow(f"train --model {found} --set data.unlabelled=more").complaint
    assert "give a teacher" in minnow("search --space toy --unlabelled more --out new").complaint
    Path("alone.yaml").write_text("data: {unlabelled: more}")
    assert "give a teacher" in minnow(f"train --model {found} --config alone.yaml").complaint
    assert not Path("new").exists()


@pytest.mark.slow
def test_trials_of_a_search_learn_from_them_in_workers_too(finished, more, minnow):
    few = "--set data.labels_per_class=20 --epochs 1 --trials 2 --unlabelled more"
    search = f"search --space toy --teacher {finished}/runs/alone {few}"
    assert minnow(f"{search} --out one").code == 0
    assert minnow(f"{search} --workers 2 --out two").code == 0
    one, two = (json.loads(Path(run, "summary.json").read_text())["trials"] for run in ("one", "two"))
    assert sorted(trial["metrics"]["f1"] for trial in one) == pytest.approx(
        sorted(trial["metrics"]["f1"] for trial in two)
    )
    next(more.glob("1*.png")).unlink()
    complaint = minnow("search --resume --trials 3 --out one").complaint
    assert "data" in complaint
    # The students of that search without a teacher train on its labelled images.
    assert minnow("train --model one --epochs 1 --out alone").code == 0
    assert metrics("alone")["unlabelled"] is None
