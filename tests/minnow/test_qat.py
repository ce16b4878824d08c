"""``--qat`` trains a finished student on with fake quantisation."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

import minnow as api
from distill.fake_quantization import FakeQuantized
from minnow.listener import Listener
from minnow.student import Student
from training.bundle import load_bundle
from training.data.images import open_images
from training.fit import Progress
from training.preprocess import prepare
from training.views import stored

CPU = torch.device("cpu")
STEPS = 60  # of three epochs, instead of 200


@pytest.fixture(scope="module")
def trained(finished, tmp_path_factory, keeping_all) -> Student:
    """The student that a training with ``qat`` returns."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("qat"))
        patch.setenv("MINNOW_CACHE", str(finished / "cache"))
        patch.setattr("minnow.qat_run._LEAST", STEPS)
        run = Path(shutil.copytree(finished / "runs/alone", "alone")).absolute()
        return api.train(str(finished / "runs/found"), out=run, qat=True, listener=keeping_all)


def test_it_trains_the_student_on(trained, keeping_all, metrics):
    run, said = trained.path.parent, keeping_all.notes
    assert trained.path == run / "qat"
    assert any("on with fake quantisation, for 3 epochs at a learning rate" in note for note in said)
    assert any("with fake quantisation, validation F1 is" in note for note in said)
    first, last = metrics(run / "student"), metrics(run / "qat")
    assert "refit" not in last and len(last["history"]) == 3
    assert last["qat"]["val_f1"] == last["history"][last["epoch"] - 1]["val_f1"]
    assert 0 < last["qat"]["val_f1_before"] <= 1
    assert last["history"][0]["learning_rate"] < first["history"][0]["learning_rate"]
    before, after = (load_bundle(run / name).model.state_dict() for name in ("student", "qat"))
    assert after.keys() == before.keys()
    assert any(not torch.equal(after[name], before[name]) for name in before)
    assert not (run / "qat/checkpoint.pt").exists()


def test_it_comes_nearer_to_what_the_student_gives_in_float(trained):
    run, data = trained.path.parent, open_images("digits")
    student, after = (load_bundle(run / name) for name in ("student", "qat"))
    shown, held_out = (
        prepare(
            stored(data, data.splits[split], CPU), student.architecture.resolution, student.normalization
        )
        for split in ("train", "val")
    )
    with torch.inference_mode():
        wanted = student.model(held_out)
        errors = [
            (FakeQuantized(each.model, shown)(held_out) - wanted).norm().item()
            for each in (student, after)
        ]
    assert errors[1] < errors[0]


def test_its_scores_are_those_of_images_that_it_has_not_seen(trained, here, minnow):
    said = minnow(f"evaluate {trained.path}")
    assert said.code == 0 and not any("score is too high" in line for line in said.notices)


def test_after_a_refit_it_trains_that_student_on_the_same_images(
    finished, alone, minnow, monkeypatch, metrics
):
    monkeypatch.setattr("minnow.qat_run._LEAST", STEPS)
    said = minnow(f"train --model {finished}/runs/found --out alone --refit val --qat")
    assert said.code == 0, said.notices
    first, refit, last = (metrics(f"alone/{name}") for name in ("student", "refit", "qat"))
    assert last["refit"] == refit["refit"] == "val" and last["val"] == first["val"]
    assert not any("val_f1" in epoch for epoch in last["history"])
    assert "with fake quantisation, validation F1" not in "\n".join(said.notices)  # trained on them
    again = f"train --model {finished}/runs/found --out alone --refit all --qat"
    assert "alone/refit exists already" in minnow(again).complaint
    assert "alone/refit has a student of refit val" in minnow(f"{again} --resume").complaint
    assert (
        "alone/qat exists already"
        in minnow(f"train --model {finished}/runs/found --out alone --qat").complaint
    )


class Stopping(Listener):
    """Interrupts a training for int8 in its second epoch."""

    def training(self, task: str, progress: Progress) -> None:
        if task == "qat" and progress.epoch == 1 and progress.step == 5:
            raise KeyboardInterrupt


def test_after_an_interruption_it_ends_with_the_same_weights(trained, finished, alone, monkeypatch):
    monkeypatch.setattr("minnow.qat_run._LEAST", STEPS)
    found = str(finished / "runs/found")
    with pytest.raises(KeyboardInterrupt):
        api.train(found, out="alone", qat=True, listener=Stopping())
    assert Path("alone/qat/checkpoint.pt").exists()
    student = api.train(found, out="alone", qat=True, resume=True)
    expected = trained.bundle.model.state_dict()
    for name, value in student.bundle.model.state_dict().items():
        assert torch.equal(value, expected[name]), name


def test_a_budget_plans_one_training(finished, here, minnow):
    command = f"train --model {finished}/runs/found --budget 1m --out shipped --refit val --qat"
    assert "leave out refit and qat, and give it afterwards" in minnow(command).complaint
    assert not Path("shipped").exists()
