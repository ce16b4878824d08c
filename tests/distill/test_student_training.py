"""The training of a student, from start to bundle."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import distill.student_training
from core.config import AugmentConfig, LossConfig, StudentConfig, TeacherConfig, TrainConfig
from core.errors import UserError
from distill.student_training import CHECKPOINT, train_student
from nas.cost import cost
from nas.spaces.toy import Toy
from teachers.ensemble import PreparedTeacher, TeacherEnsemble
from teachers.finetune import finetune_teacher
from teachers.output_cache import cache_outputs
from training.batches import augmentation_of
from training.bootstrap import f1_interval
from training.bundle import load_bundle
from training.bundle_files import BUNDLE_FILES, CHECKSUMS_FILE
from training.predictions import PREDICTIONS, read_predictions
from training.signals import Kind

LATENCY = {"median": 1.5, "iqr": 0.1, "n": 100, "runtime": "a stopwatch"}
SHORT = StudentConfig(train=TrainConfig(epochs=3, views=2), loss=LossConfig(), seed=3)


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINNOW_CACHE", str(tmp_path / "cache"))


def train(data, architecture, out: Path, config=SHORT, teacher=None, report=None) -> dict[str, Any]:
    how = {"teacher": teacher, "latency": lambda networks: [LATENCY for _ in networks], "report": report}
    return train_student(architecture, data, config, out, **how)


def prepared_from(run: Path, data, views: int = 2, kinds: tuple[Kind, ...] = ()) -> PreparedTeacher:
    teacher = finetune_teacher(TeacherConfig(spec=str(run)), data, AugmentConfig())
    outputs = cache_outputs(teacher, data, augmentation_of(AugmentConfig(), data), views, kinds=kinds)
    costs = {"params": 1, "macs": 2}
    return PreparedTeacher(TeacherEnsemble((teacher,), (1.0,)), teacher.val, outputs, costs)


def weights(out: Path) -> dict[str, torch.Tensor]:
    return load_bundle(out).model.state_dict()


def equal(one: Path, other: Path) -> bool:
    a, b = weights(one), weights(other)
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


def test_alone_it_leaves_a_whole_bundle(some_digits, tiny, tmp_path, plain_logits, check_scores):
    returned = train(some_digits, tiny, tmp_path / "out")
    written = {*BUNDLE_FILES, CHECKSUMS_FILE, PREDICTIONS}
    assert {file.name for file in (tmp_path / "out").iterdir()} == written
    bundle = load_bundle(tmp_path / "out")
    assert bundle.metrics == json.loads(json.dumps(returned))
    assert bundle.classes == some_digits.classes and bundle.architecture == tiny
    assert bundle.config["train"]["epochs"] == 3 and bundle.config["seed"] == 3
    assert bundle.config["data"]["size"] == 32  # resolved, so that others store images alike
    total = cost(tiny, 10)
    metrics = bundle.metrics
    assert (metrics["params"], metrics["macs"]) == (total.params, total.macs)
    assert metrics["latency_ms"] == LATENCY and metrics["seed"] == 3
    assert metrics["teacher"] is None and metrics["seconds"] > 0
    assert {"python", "torch", "timm"} <= set(metrics["versions"])
    for split in ("val", "test"):
        logits = plain_logits(bundle.model, some_digits, split)
        check_scores(metrics[split], logits, some_digits, split)
    low, high = metrics["test"]["f1_interval"]
    assert low <= metrics["test"]["f1"] <= high
    expected = f1_interval(metrics["test"]["confusion"])
    assert (low, high) == (expected.low, expected.high)


def test_the_table_has_the_predictions_of_the_student(some_digits, tiny, tmp_path, plain_logits):
    train(some_digits, tiny, tmp_path / "out")
    images = some_digits.splits["test"]
    logits = plain_logits(load_bundle(tmp_path / "out").model, some_digits, "test")
    table = read_predictions(tmp_path / "out" / PREDICTIONS)
    assert table.classes == some_digits.classes
    order = np.argsort([some_digits.files[index] for index in images])
    assert table.files == tuple(some_digits.files[index] for index in images[order])
    assert np.array_equal(table.labels, some_digits.labels[images[order]])
    assert np.array_equal(table.predicted, logits.argmax(axis=1)[order])


def test_the_same_seed_gives_the_same_student(some_digits, tiny, tmp_path):
    train(some_digits, tiny, tmp_path / "a")
    torch.manual_seed(99)
    train(some_digits, tiny, tmp_path / "b")
    train(some_digits, tiny, tmp_path / "c", SHORT.model_copy(update={"seed": 4}))
    assert equal(tmp_path / "a", tmp_path / "b")
    assert not equal(tmp_path / "a", tmp_path / "c")


def test_with_a_teacher_it_records_the_teacher(some_digits, tiny, tmp_path, plain_logits, check_scores):
    train(some_digits, tiny, tmp_path / "teacher")
    prepared = prepared_from(tmp_path / "teacher", some_digits)
    metrics = train(some_digits, tiny, tmp_path / "student", teacher=prepared)
    logits = plain_logits(load_bundle(tmp_path / "teacher").model, some_digits, "test")
    check_scores(metrics["teacher"], logits, some_digits, "test")
    assert len(metrics["teacher"]["f1_interval"]) == 2
    assert metrics["teacher"]["val_f1"] == prepared.val.f1
    assert metrics["teacher"]["name"] == "teacher"
    assert not equal(tmp_path / "teacher", tmp_path / "student")


def test_two_teachers_take_their_time_one_after_the_other(some_digits, tiny, tmp_path):
    train(some_digits, tiny, tmp_path / "teacher")
    one = prepared_from(tmp_path / "teacher", some_digits)
    both = replace(one, ensemble=TeacherEnsemble(one.ensemble.members * 2, (0.5, 0.5)))
    recorded = train(some_digits, tiny, tmp_path / "student", teacher=both)["teacher"]
    assert recorded["latency_ms"]["median"] == 2 * LATENCY["median"]
    assert recorded["latency_ms"]["iqr"] == pytest.approx(LATENCY["iqr"] * 2**0.5)


@pytest.mark.parametrize("features, kind", [("hint", "pooled"), ("at", "attention"), ("rkd", "pooled")])
def test_a_loss_on_features_changes_the_student_and_resumes(some_digits, tiny, tmp_path, features, kind):
    train(some_digits, tiny, tmp_path / "teacher")
    prepared = prepared_from(tmp_path / "teacher", some_digits, kinds=(kind,))
    loss = LossConfig(features=features)
    config = SHORT.model_copy(update={"loss": loss})
    train(some_digits, tiny, tmp_path / "logits", teacher=prepared)
    train(some_digits, tiny, tmp_path / "whole", config, prepared)
    assert not equal(tmp_path / "logits", tmp_path / "whole")

    def stop(progress):
        if progress.epoch == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(some_digits, tiny, tmp_path / "parts", config, prepared, report=stop)
    train(some_digits, tiny, tmp_path / "parts", config, prepared)
    assert equal(tmp_path / "whole", tmp_path / "parts")  # adapters are resumed too


@pytest.mark.slow
def test_the_student_of_an_equal_becomes_its_equal(digits, tmp_path):
    architecture = Toy().decode((1, 1, 1, 0))
    long = StudentConfig(train=TrainConfig(epochs=8))
    alone = train(digits, architecture, tmp_path / "teacher", long)
    prepared = prepared_from(tmp_path / "teacher", digits, views=4)
    changes = {"loss": LossConfig(weight=1.0), "train": TrainConfig(epochs=16), "seed": 1}
    config = long.model_copy(update=changes)
    student = train(digits, architecture, tmp_path / "student", config, prepared)
    assert alone["val"]["f1"] > 0.8
    assert student["val"]["f1"] > alone["val"]["f1"] - 0.05
    assert student["history"][-1]["loss"] < 0.5 * student["history"][0]["loss"]


def test_test_images_change_nothing_but_test_scores(some_digits, tiny, tmp_path):
    test = some_digits.splits["test"]
    images, labels = np.array(some_digits.images), some_digits.labels.copy()
    images[test] = 255 - images[test]
    labels[test] = (labels[test] + 1) % 10
    other = replace(some_digits, images=images, labels=labels)
    one = train(some_digits, tiny, tmp_path / "a")
    two = train(other, tiny, tmp_path / "b")
    assert equal(tmp_path / "a", tmp_path / "b")
    assert one["val"] == two["val"] and one["epoch"] == two["epoch"]
    assert one["test"] != two["test"]


class Cut(Exception):
    pass


def cut_at(epoch: int, step: int):
    def report(progress) -> None:
        if (progress.epoch, progress.step) == (epoch, step):
            raise Cut

    return report


@pytest.mark.parametrize("cut", [(0, 1), (1, 0), (2, 2), (3, 0)])
def test_a_resumed_training_gives_the_same_student(some_digits, tiny, tmp_path, cut):
    whole = train(some_digits, tiny, tmp_path / "whole")
    with pytest.raises(Cut):
        train(some_digits, tiny, tmp_path / "cut", report=cut_at(*cut))
    assert not (tmp_path / "cut" / "model.safetensors").exists()
    resumed = train(some_digits, tiny, tmp_path / "cut")
    assert equal(tmp_path / "whole", tmp_path / "cut")
    assert not (tmp_path / "cut" / CHECKPOINT).exists()
    assert resumed["test"] == whole["test"] and resumed["epoch"] == whole["epoch"]


@pytest.mark.parametrize("what", ["network", "data", "recipe", "augmentation", "seed", "teacher"])
def test_a_checkpoint_of_another_training_is_refused(some_digits, tiny, tmp_path, what):
    with pytest.raises(Cut):
        train(some_digits, tiny, tmp_path / "out", report=cut_at(1, 0))
    data, architecture, config, prepared = some_digits, tiny, SHORT, None
    if what == "network":
        architecture = Toy().decode((0, 0, 1, 0))
    elif what == "data":
        data = replace(data, digest="other")
    elif what == "recipe":
        config = SHORT.model_copy(update={"train": TrainConfig(epochs=4)})
    elif what == "augmentation":
        config = SHORT.model_copy(update={"augment": AugmentConfig(magnitude=1)})
    elif what == "seed":
        config = SHORT.model_copy(update={"seed": 5})
    else:
        train(some_digits, tiny, tmp_path / "teacher")
        prepared = prepared_from(tmp_path / "teacher", some_digits)
    with pytest.raises(UserError, match="checkpoint") as error:
        train(data, architecture, tmp_path / "out", config, prepared)
    assert "\n" not in str(error.value)


def test_a_training_that_diverges_once_halves_its_rate_and_warns(some_digits, tiny, tmp_path, diverging):
    diverging(distill.student_training, "student_loss", 5)  # three steps an epoch
    with pytest.warns(UserWarning, match="epoch 2, step 2.*half the learning rate") as warned:
        metrics = train(some_digits, tiny, tmp_path / "out")
    assert len(warned) == 1
    assert metrics["rollbacks"][0]["epoch"] == 2
    rates = [epoch["learning_rate"] for epoch in metrics["history"]]
    assert rates == [SHORT.train.peak_rate] + [SHORT.train.peak_rate / 2] * 2
    assert load_bundle(tmp_path / "out").metrics["rollbacks"] == metrics["rollbacks"]
    assert metrics["stopped_early"] is False


@pytest.mark.filterwarnings("ignore:the loss became")
def test_a_training_that_diverges_twice_says_what_to_change(some_digits, tiny, tmp_path, diverging):
    diverging(distill.student_training, "student_loss", 5, 7)
    with pytest.raises(UserError, match=r"epoch 2, step 2.*halved.*lower train\.learning_rate") as error:
        train(some_digits, tiny, tmp_path / "out")
    assert "\n" not in str(error.value)
    assert not (tmp_path / "out" / "model.safetensors").exists()


def test_patience_ends_it_early_and_is_recorded(some_digits, tiny, tmp_path):
    """With hardly any learning rate, no epoch is better than the first."""
    recipe = TrainConfig(
        epochs=9, views=2, learning_rate=1e-12, average=0.0, norm_momentum=1e-6, patience=3
    )
    metrics = train(some_digits, tiny, tmp_path / "out", SHORT.model_copy(update={"train": recipe}))
    assert len({epoch["val_f1"] for epoch in metrics["history"]}) == 1
    assert len(metrics["history"]) == 4 and metrics["stopped_early"] is True
