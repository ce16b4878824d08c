"""``--refit`` trains a finished student once more, on the images that chose and scored it."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.metrics import f1_score

import minnow as api
from training.bundle import load_bundle
from training.data.images import open_images

OF_CHOICE = ("val", "test", "teacher")


@pytest.mark.parametrize("which, parts", [("val", ("train", "val")), ("all", ("train", "val", "test"))])
def test_the_images_to_train_on(here, which, parts):
    digits = open_images("digits")
    more = digits.refit(which)
    assert more.splits["train"].tolist() == sorted(
        int(index) for part in parts for index in digits.splits[part]
    )
    assert more.held_out is digits and digits.held_out is None
    assert more.digest != digits.digest
    assert np.array_equal(more.splits["test"], digits.splits["test"])


def test_on_all_images_the_scores_are_the_students(finished, here, minnow, metrics):
    said = minnow(f"train --model {finished}/runs/found --epochs 2 --refit all --out shipped")
    assert said.code == 0, said.notices
    first, refit = metrics("shipped/student"), metrics("shipped/refit")
    assert {name: refit[name] for name in OF_CHOICE} == {name: first[name] for name in OF_CHOICE}
    assert refit["refit"] == "all" and "refit" not in first
    assert len(refit["history"]) == refit["epoch"] == first["epoch"]
    assert not any("val_f1" in epoch for epoch in refit["history"])
    assert not Path("shipped/refit/predictions.csv").exists()
    assert minnow("report shipped/refit").code == 0 and minnow("report shipped").code == 0
    page, before = (Path(f"shipped/{name}report.html").read_text() for name in ("refit/", ""))
    assert "it learned from every image, so the scores are the earlier student&#39;s" in page
    assert "which took no part in any choice" not in page and "which took no part in any choice" in before
    text = "\n".join(said.notices)
    assert "training again on 1,797 images, those of all splits" in text
    assert "no image is left to score it" in text and "shipped/student" in text
    one, other = (load_bundle(f"shipped/{name}").model.state_dict() for name in ("student", "refit"))
    assert any(not torch.equal(one[name], other[name]) for name in one)
    for folder, warned in (("student", False), ("refit", True)):
        evaluated = minnow(f"evaluate shipped/{folder}")
        assert evaluated.code == 0
        assert any("the score is too high" in line for line in evaluated.notices) is warned


def test_on_validation_images_too_the_test_split_still_scores(finished, alone, minnow, metrics):
    said = minnow(f"train --model {finished}/runs/found --out alone --refit val")
    assert said.code == 0, said.notices
    first, refit = metrics("alone/student"), metrics("alone/refit")
    assert refit["val"] == first["val"] and refit["refit"] == "val"
    with open("alone/refit/predictions.csv") as file:
        rows = list(csv.DictReader(file))
    f1 = f1_score([row["true"] for row in rows], [row["predicted"] for row in rows], average="macro")
    assert refit["test"]["f1"] == pytest.approx(f1) and f1 != first["test"]["f1"]
    assert not any("score is too high" in line for line in minnow("evaluate alone/refit").notices)
    assert any("score is too high" in line for line in minnow("evaluate alone/refit --split val").notices)
    assert minnow("export alone/refit").code == 0


def test_it_has_the_settings_of_the_student(finished, alone, minnow):
    command = f"train --model {finished}/runs/found --out alone --refit val"
    assert "leave out train.epochs," in minnow(f"{command} --epochs 7").complaint
    assert not Path("alone/refit").exists()
    Path("other.yaml").write_text("train: {batch_size: 32}\n")
    assert "leave out train.batch_size," in minnow(f"{command} --config other.yaml").complaint
    assert minnow(f"{command} --epochs 1").code == 0  # as it has
    assert "alone/refit exists already" in minnow(command).complaint


def test_a_budget_plans_one_training(finished, here, minnow):
    command = f"train --model {finished}/runs/found --budget 1m --refit all --out shipped"
    assert "a budget plans one training" in minnow(command).complaint
    whole = "fit --data digits --limit params<=1M --budget 1m --refit all --out whole"
    assert "a budget plans one training" in minnow(whole).complaint
    assert not Path("whole").exists()


def test_images_without_labels_stay_those_that_the_first_teacher_chose(finished, here, keeping, metrics):
    data, folder = open_images("digits"), here / "more"
    folder.mkdir()
    for index in data.splits["train"][:120]:
        Image.fromarray(data.images[index] ^ 1).save(folder / f"{index}.png")
    student = api.distill(
        finished / "runs/found",
        teacher=str(finished / "runs/alone"),
        data={"labels_per_class": 20, "unlabelled": "more"},
        epochs=2,
        out="with",
        refit="val",
        listener=keeping,
    )
    assert student.path == Path("with/refit")
    first, refit = metrics("with/student"), metrics("with/refit")
    left_out = first["unlabelled"]["left_out"]
    assert refit["unlabelled"] == first["unlabelled"] and 0 < left_out < 120
    assert (
        sum("left out: the teacher is less sure" in note for note in keeping.notes) == 2
    )  # of one teacher
    assert refit["teacher"]["val_f1"] == first["teacher"]["val_f1"]
    assert refit["test"]["f1"] != first["test"]["f1"]
