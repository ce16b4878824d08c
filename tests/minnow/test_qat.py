"""``--qat`` trains a finished student on with fake quantisation."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import minnow as api
from minnow.listener import Listener
from minnow.qat_run import StudentWeights
from minnow.student import Student
from training.balance import log_priors
from training.bundle import load_bundle
from training.data.images import open_images


class Notes(Listener):
    """Keeps the notes."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, message: str) -> None:
        self.notes.append(message)


def metrics(folder: str | Path) -> dict[str, Any]:
    return json.loads(Path(folder, "metrics.json").read_text())


@pytest.fixture
def alone(finished, here) -> Path:
    """A copy of a trained student, in ``alone``."""
    return Path(shutil.copytree(finished / "runs/alone", here / "alone"))


@pytest.fixture(scope="module")
def trained(finished, tmp_path_factory) -> tuple[Student, Notes]:
    """The student that a training with ``qat`` returns, and what was said."""
    notes = Notes()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("qat"))
        patch.setenv("MINNOW_CACHE", str(finished / "cache"))
        run = Path(shutil.copytree(finished / "runs/alone", "alone")).absolute()
        student = api.train(str(finished / "runs/found"), out=run, qat=True, listener=notes)
    return student, notes


def test_it_trains_the_student_on(trained):
    student, said = trained
    run = student.path.parent
    assert student.path == run / "qat"
    assert any(
        "on with fake quantisation, for 3 epochs at a learning rate" in note for note in said.notes
    )
    assert any("with fake quantisation, validation F1 is" in note for note in said.notes)
    first, last = metrics(run / "student"), metrics(run / "qat")
    assert "refit" not in last and len(last["history"]) == 3
    assert last["qat"]["val_f1"] == last["history"][last["epoch"] - 1]["val_f1"]
    assert 0 < last["qat"]["val_f1_before"] <= 1
    assert last["history"][0]["learning_rate"] < first["history"][0]["learning_rate"]
    before, after = (load_bundle(run / name).model.state_dict() for name in ("student", "qat"))
    assert after.keys() == before.keys()
    assert any(not torch.equal(after[name], before[name]) for name in before)
    assert not (run / "qat/checkpoint.pt").exists()


def test_its_scores_are_those_of_images_that_it_has_not_seen(trained, here, minnow):
    said = minnow(f"evaluate {trained[0].path}")
    assert said.code == 0 and not any("score is too high" in line for line in said.notices)


def test_after_a_refit_it_trains_that_student_on_the_same_images(finished, alone, minnow):
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


def test_a_budget_plans_one_training(finished, here, minnow):
    command = f"train --model {finished}/runs/found --budget 1m --out shipped --refit val --qat"
    assert "leave out refit and qat, and give it afterwards" in minnow(command).complaint
    assert not Path("shipped").exists()


def test_an_interrupted_one_is_resumed_when_asked_to(finished, alone, minnow):
    command = f"train --model {finished}/runs/found --out alone --qat"
    Path("alone/qat").mkdir()
    Path("alone/qat/checkpoint.pt").write_bytes(b"half")
    assert "alone/qat holds an interrupted training; resume it" in minnow(command).complaint
    assert "checkpoint.pt is damaged" in minnow(f"{command} --resume").complaint


def test_it_starts_without_the_adjustment_to_the_shares_of_the_classes(alone):
    data, bundle = open_images("digits"), load_bundle(alone)
    adjusted = {name: value.clone() for name, value in bundle.model.state_dict().items()}
    bundle.metrics["balance"] = {"mode": "post-hoc", "tau": 0.7}
    start = StudentWeights.of(bundle, data).network.state_dict()
    bias = [*start][-1]
    expected = adjusted[bias].numpy() + 0.7 * np.asarray(log_priors(data))
    np.testing.assert_allclose(start[bias].numpy(), expected, rtol=1e-5)
    assert all(torch.equal(start[name], adjusted[name]) for name in start if name != bias)
