"""The epochs that fit in a time."""

from __future__ import annotations

import json
from typing import Any

import pytest

from core.config import StudentConfig
from core.errors import UserError
from minnow import student_length
from minnow.student_length import LENGTH_FILE, begun_length, fitting_length
from training.speed import OVERHEAD


class _Teacher:
    model, resolution = None, 32


@pytest.fixture
def fitting(some_digits, tiny, tmp_path, monkeypatch, keeping):
    """Decide a length as if training took 1 s per image of the training split, inference nothing."""
    images = len(some_digits.splits["train"])
    monkeypatch.setattr(student_length, "training_seconds", lambda *_: 1 / OVERHEAD / images)
    monkeypatch.setattr(student_length, "inference_seconds", lambda *_: 0.0)

    def decide(seconds: float, teachers=(), *, seeds=1, **settings) -> tuple[int, Any]:
        epochs = fitting_length(
            StudentConfig(**settings),
            tiny,
            some_digits,
            teachers,
            seconds,
            tmp_path,
            usual=300,
            seeds=seeds,
            listener=keeping,
        )
        assert begun_length(tmp_path) == epochs
        return epochs, keeping

    return decide


@pytest.mark.parametrize(("seconds", "epochs"), [(-5, 1), (0.5, 1), (1.5, 1), (42.5, 42), (200.1, 200)])
def test_as_many_as_fit(fitting, seconds, epochs):
    assert fitting(seconds)[0] == epochs


def test_three_times_the_usual_length_is_the_most(fitting):
    epochs, said = fitting(1e6)
    assert epochs == 3 * 300 and "the most" in said.notes[0] and not said.warnings


def test_a_short_time_is_said(fitting):
    assert "5 epochs, where 300 are usual" in fitting(5.5)[1].warnings[0]


def test_outputs_of_teachers_take_time(fitting, some_digits, monkeypatch):
    """A view of all images takes 2 s; 4 views up to 39 epochs, then an eighth of the epochs."""
    images = len(some_digits.splits["train"])
    monkeypatch.setattr(
        student_length, "inference_seconds", lambda model, *_: 2 / images if model is None else 0.0
    )
    assert fitting(20.5, [_Teacher()])[0] == 12  # 12 + 4 views of 2 s
    assert fitting(100.5, [_Teacher()])[0] == 80  # 80 + 10 views of 2 s


def test_several_seeds_share_the_outputs_and_the_time(fitting, some_digits, monkeypatch):
    images = len(some_digits.splits["train"])
    monkeypatch.setattr(
        student_length, "inference_seconds", lambda model, *_: 2 / images if model is None else 0.0
    )
    assert fitting(68.5, [_Teacher()], seeds=5)[0] == 12  # 5 times 12 + 4 views of 2 s


def test_a_live_teacher_takes_its_time_in_every_epoch(fitting, some_digits, monkeypatch):
    images = len(some_digits.splits["train"])
    monkeypatch.setattr(
        student_length, "inference_seconds", lambda model, *_: 2 / images if model is None else 0.0
    )
    assert fitting(100.5, [_Teacher()], live_teacher=True)[0] == 33  # each epoch takes 1 + 2 s


def test_a_damaged_length_is_refused(tmp_path):
    (tmp_path / LENGTH_FILE).write_text(json.dumps({"epochs": 0}))
    with pytest.raises(UserError, match="delete the training's directory"):
        begun_length(tmp_path)


def test_a_training_within_a_time_goes_on_after_an_interruption(here, finished, minnow, monkeypatch):
    """It keeps the length it began with, however fast the machine is then."""
    monkeypatch.setattr(student_length, "training_seconds", lambda *_: 1e-3)
    command = f"train --model {finished}/runs/found --set data.labels_per_class=6 --out new --seeds 1"
    from training import fit as loop

    real, calls = loop.train_step, []

    def stop(*arguments, **options):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return real(*arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(loop, "train_step", stop)
        assert minnow(f"{command} --budget 1s").code == 130
    length = begun_length(here / "new/student")
    assert length and length > 3
    monkeypatch.setattr(student_length, "training_seconds", lambda *_: 1.0)
    assert minnow(f"{command} --budget 1s --resume").code == 0
    metrics = json.loads((here / "new/student/metrics.json").read_text())
    assert len(metrics["history"]) == length
    assert not (here / "new/student" / LENGTH_FILE).exists()


def test_a_length_and_a_time_contradict(finished, minnow, here):
    said = minnow(f"train --model {finished}/runs/found --epochs 2 --budget 1m --out new")
    assert "train.epochs decides the length" in said.complaint
