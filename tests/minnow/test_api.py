"""The Python API: silent, with results that are those of the command line."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from PIL import Image

import minnow
import training.budget
from minnow.listener import SearchPlan

TEACHER = "mobilenetv3_small_050:teacher.pth"


class Recorder(minnow.Listener):
    """Keeps the events."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.events: list[str] = []

    def note(self, message: str) -> None:
        self.notes.append(message)

    def search_started(self, plan: SearchPlan) -> None:
        self.events.append(f"search of {plan.trials}")

    def trial_started(self, proposal) -> None:
        self.events.append(f"trial {proposal.number}")

    def trial_finished(self, trial) -> None:
        self.events.append(f"end of {trial.number}")


def test_importing_it_imports_no_torch():
    code = "import minnow, sys; minnow.search, minnow.fit, minnow.Run; print('torch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
    )
    assert done.stdout == "False\n"
    assert set(minnow.__all__) <= set(dir(minnow))
    with pytest.raises(AttributeError, match="no attribute 'serach'"):
        minnow.serach  # noqa: B018


def test_search_train_and_load_are_silent_and_give_results(here, capsys):
    recorder = Recorder()
    run = minnow.search(
        {"spec": "digits", "split_seed": 1},
        space="toy",
        trials=2,
        objectives=["f1", "macs"],
        train={"epochs": 1},
        out="runs/found",
        listener=recorder,
    )
    assert capsys.readouterr() == ("", "")
    assert recorder.events == ["search of 2", "trial 0", "end of 0", "trial 1", "end of 1"]
    assert [trial.number for trial in run.trials] == [0, 1]
    assert run.config.data.split_seed == 1
    assert run.best is not None and run.best in run.front
    assert {trace.name for trace in run.plot_front().data}
    html = run._repr_html_()
    assert html.count("<tr") == 1 + len(run.front) and 'class="chosen"' in html

    student = minnow.train(run, epochs=1, out="runs/alone")
    assert capsys.readouterr() == ("", "")
    assert f"{student.metrics['test']['f1']:.3f}" in student._repr_html_()
    scores = student.evaluate().scores
    assert scores.f1 == pytest.approx(student.metrics["test"]["f1"])
    assert minnow.evaluate("runs/alone", split="val").split == "val"
    image = Image.fromarray(np.zeros((20, 30, 3), dtype=np.uint8))
    (prediction,) = minnow.load("runs/alone").predict(image)
    assert prediction.label in student.classes
    assert student.export("onnx").path == Path("runs/alone/student/model.onnx")
    with pytest.raises(minnow.UserError, match="format 'tflite': give onnx"):
        student.export("tflite")


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"trails": 3}, "unknown setting 'trails'.*trials"),
        ({"train": {"epoch": 3}}, "train.epoch.*train.epochs"),
        ({"trials": 0}, "trials"),
        ({"space": "nowhere"}, "unknown space 'nowhere'"),
    ],
)
def test_wrong_settings_are_named(here, settings, complaint):
    with pytest.raises(minnow.UserError, match=complaint):
        minnow.search("digits", out="runs/new", **settings)
    assert not (here / "runs/new").exists()


def test_progress_prints_what_the_command_prints(here, capsys):
    minnow.search("digits", space="toy", trials=1, epochs=1, out="runs/new", progress=True)
    printed = capsys.readouterr()
    assert printed.out == "" and "trial 0 (1 of 1)" in printed.err


@pytest.mark.system
def test_fit_does_the_whole_job_and_repeats_no_finished_step(here, write_classes, capsys, monkeypatch):
    monkeypatch.setattr(training.budget, "INHERITED", training.budget.Length(2, 2))
    write_classes(here / "photos")
    torch.manual_seed(0)
    network = timm.create_model("mobilenetv3_small_050", num_classes=2)
    torch.save(network.state_dict(), here / "teacher.pth")
    settings = {
        "teacher": TEACHER,
        "trials": 2,
        "limits": ["macs<=2M"],
        "teacher_epochs": 1,
        "supernet_epochs": 1,
        "resolutions": [32, 40],
        "image_size": 40,
        "out": "runs/photos",
    }
    student = minnow.fit("photos", **settings)
    assert capsys.readouterr() == ("", "")
    assert student.metrics["inherited"] == "mobilenetv3_small_050"
    for name in ("report.html", "study.journal", "student/model.safetensors", "student/model.onnx"):
        assert (here / "runs/photos" / name).exists(), name

    recorder = Recorder()
    again = minnow.fit(out="runs/photos", resume=True, listener=recorder)
    assert again.metrics["identity"] == student.metrics["identity"] and recorder.events == []
    (here / "runs/photos/student/model.onnx").unlink()
    minnow.fit(out="runs/photos", resume=True)
    assert (here / "runs/photos/student/model.onnx").exists()
    refit = minnow.fit(out="runs/photos", resume=True, refit="val")
    assert refit.path == Path("runs/photos/refit") and (here / refit.path / "model.onnx").exists()
    assert refit.metrics["inherited"] == "mobilenetv3_small_050"
    with pytest.raises(minnow.UserError, match="has a student of refit val; delete it"):
        minnow.fit(out="runs/photos", resume=True, refit="all")
    with pytest.raises(minnow.UserError, match="holds a run already"):
        minnow.fit("photos", out="runs/photos")
