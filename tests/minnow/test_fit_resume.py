"""``fit`` goes on where it was stopped, and searches no more than it was asked to."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import timm
import torch

import minnow
import training.budget
from minnow.listener import Listener
from minnow.run_directory import student_config

pytestmark = pytest.mark.system

TEACHER = "mobilenetv3_small_050:teacher.pth"
RUN = Path("runs/photos")


class Stopping(Listener):
    """Ctrl-C at the first step of a training; counts the trials."""

    def __init__(self, at: str | None = None) -> None:
        self.at, self.trials, self.trainings = at, 0, set()

    def training(self, work, progress) -> None:
        self.trainings.add(work.split()[0])
        if self.at is not None and work.startswith(self.at):
            raise KeyboardInterrupt

    def trial_finished(self, trial) -> None:
        self.trials += 1


@pytest.fixture
def fit(here, write_classes, monkeypatch):
    """Fit a small teacher's parts to two folders of images."""
    monkeypatch.setattr(training.budget, "INHERITED", training.budget.Length(2, 2))
    write_classes(here / "photos")
    torch.manual_seed(0)
    network = timm.create_model("mobilenetv3_small_050", num_classes=2)
    torch.save(network.state_dict(), here / "teacher.pth")

    def run(**settings):
        return minnow.fit(
            "photos",
            **{
                "teacher": TEACHER,
                "trials": 2,
                "limits": ["macs<=2M"],
                "teacher_epochs": 1,
                "resolutions": [32, 40],
                "image_size": 40,
                "out": RUN,
                **settings,
            },
        )

    return run


def test_it_goes_on_after_a_stop_in_the_fine_tuning(fit):
    with pytest.raises(KeyboardInterrupt):
        fit(listener=Stopping("teacher"))
    assert minnow.Run(RUN).trials == [] and minnow.Run(RUN).best is None
    assert minnow.fit(out=RUN, resume=True).metrics["inherited"] == "mobilenetv3_small_050"


def test_a_search_whose_time_is_over_is_not_continued(fit):
    stopping = Stopping("student")
    with pytest.raises(KeyboardInterrupt):
        fit(trials=500, timeout=0.5, listener=stopping)
    assert 0 < stopping.trials < 500
    ended = json.loads((RUN / "summary.json").read_text())["ended"]
    assert ended == {"trials": 500, "timeout": 0.5, "objectives": ["f1:max"], "limits": ["macs<=2M"]}
    again = Stopping()
    minnow.fit(out=RUN, resume=True, listener=again)
    assert again.trials == 0 and again.trainings == {"student"}
    refit = Stopping()
    minnow.fit(out=RUN, resume=True, refit="val", listener=refit)
    assert refit.trials == 0 and "refit" in refit.trainings


def test_more_trials_or_other_limits_continue_a_search_without_a_student(fit):
    with pytest.raises(KeyboardInterrupt):
        fit(listener=Stopping("student"))
    ended = minnow.Run(RUN)
    assert ended.has_ended(ended.config)
    for changes in ({"trials": 3}, {"limits": ["macs<=1.5M"]}, {"timeout": 60.0}):
        assert not ended.has_ended(ended.config.model_copy(update=changes)), changes
    more = Stopping()
    minnow.fit(out=RUN, resume=True, trials=3, listener=more)
    assert more.trials == 1 and len(minnow.Run(RUN).trials) == 3


def test_the_student_has_the_loss_and_the_target_of_the_call(here, fit):
    (here / "mine.py").write_text(
        "from deploy.targets.onnx_runtime import OnnxRuntime\n\n\nclass Mine(OnnxRuntime):\n"
        '    """ONNX Runtime, by another name."""\n\n    name = "mine"\n'
    )
    fit(loss="dkd", target="./mine.py:Mine")
    config = student_config(RUN / "student")
    assert (config.loss.name, config.target) == ("dkd", "./mine.py:Mine")
    with pytest.raises(minnow.UserError, match="target"):
        minnow.distill(RUN, refit="val")
    with pytest.raises(minnow.UserError, match=r"names code that would be run, '\./mine\.py:Mine'"):
        minnow.load(RUN).latency()
    assert minnow.load(RUN).latency("./mine.py:Mine").median_ms > 0
