"""Training of a student on classes of unequal size: the bundle of each mode, adjusted once."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch

import distill.student_bundle
from core.config import BalanceConfig, StudentConfig, TrainConfig
from deploy.onnx_export import export_onnx
from distill.student_training import train_student
from nas.spaces.toy import Toy
from training.balance import TAUS, log_priors, tune_tau
from training.bundle import load_bundle
from training.evaluate import logits_of
from training.preprocess import IMAGENET

RECIPE = TrainConfig(epochs=5, views=2, batch_size=20, learning_rate=0.01, average=0.9)
MODES = ("none", "sampler", "logit-adjust", "post-hoc")
NETWORK = Toy().decode((1, 1, 1, 0))
HOW = {"resolution": 32, "normalization": IMAGENET}


@pytest.fixture(scope="module")
def uneven(digits):
    """Digits with few training images of 5 to 9."""
    train = digits.splits["train"][:300]
    rare = digits.labels[train] >= 5
    kept = np.sort(np.concatenate([train[~rare], train[rare][:15]]))
    return digits.resplit(train=kept, test=digits.splits["test"][:80])


def train(data, out: Path, mode: str, tau: float | None = None, report=None) -> dict[str, Any]:
    config = StudentConfig(train=RECIPE, balance=BalanceConfig(mode=mode, tau=tau), seed=3)
    how = {"teacher": None, "report": report}
    return train_student(NETWORK, data, config, out, **how)


@pytest.fixture(scope="module")
def trained(uneven, tmp_path_factory):
    """A directory with a bundle per mode."""
    folder = tmp_path_factory.mktemp("trained")
    for mode in MODES:
        train(uneven, folder / mode, mode)
    return folder


def weights(out: Path) -> dict[str, torch.Tensor]:
    return load_bundle(out).model.state_dict()


def equal(one: Path, other: Path) -> bool:
    a, b = weights(one), weights(other)
    return all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize("mode", MODES)
def test_a_bundle_records_its_mode_and_the_scores_of_its_network(
    trained, uneven, mode, plain_logits, check_scores
):
    bundle = load_bundle(trained / mode)
    assert bundle.config["balance"] == bundle.metrics["balance"]
    assert bundle.metrics["balance"]["mode"] == mode
    tau = bundle.metrics["balance"]["tau"]
    assert {"logit-adjust": tau == 1, "post-hoc": tau in TAUS}.get(mode, tau is None)
    for split in ("val", "test"):
        logits = plain_logits(bundle.model, uneven, split)
        check_scores(bundle.metrics[split], logits, uneven, split)


def test_every_mode_makes_another_network(trained):
    assert not any(equal(trained / one, trained / other) for one, other in combinations(MODES, 2))


def test_post_hoc_is_the_plain_network_with_another_bias(trained, uneven, tmp_path):
    """The same holds for the ONNX file, which has no trace of the adjustment."""
    plain, adjusted = (load_bundle(trained / mode) for mode in ("none", "post-hoc"))
    tau = adjusted.metrics["balance"]["tau"]
    val, prior = uneven.splits["val"], log_priors(uneven)
    logits = logits_of(plain.model, uneven, val, **HOW)
    assert tau == tune_tau(logits, uneven.labels[val], prior) > 0
    wanted = logits - tau * prior
    np.testing.assert_allclose(logits_of(adjusted.model, uneven, val, **HOW), wanted, atol=1e-5)
    assert adjusted.metrics["val"]["f1"] > plain.metrics["val"]["f1"]
    assert adjusted.metrics["epoch"] == plain.metrics["epoch"]
    histories = [[epoch["val_f1"] for epoch in bundle.metrics["history"]] for bundle in (plain, adjusted)]
    assert histories[0] == histories[1]
    export_onnx(adjusted.model, tmp_path / "model.onnx", **HOW, classes=uneven.classes)
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    pixels = uneven.images[val].transpose(0, 3, 1, 2).astype(np.float32) / 255
    (exported,) = session.run(None, {session.get_inputs()[0].name: pixels})
    np.testing.assert_allclose(exported, wanted, atol=1e-3)


def test_post_hoc_with_tau_0_changes_not_a_bit(trained, uneven, tmp_path):
    plain, adjusted = load_bundle(trained / "none"), train(uneven, tmp_path, "post-hoc", tau=0.0)
    assert equal(trained / "none", tmp_path)
    assert [plain.metrics[split] for split in ("val", "test")] == [adjusted["val"], adjusted["test"]]


class Cut(Exception):
    """Stand-in for a kill."""


@pytest.mark.parametrize("place", ["training", "after the training", "before the bundle"])
def test_an_interrupted_training_is_adjusted_once(trained, uneven, tmp_path, monkeypatch, place):
    def cut(*args, **kwargs) -> None:
        raise Cut

    def after_an_epoch(progress) -> None:
        if (progress.epoch, progress.step) == (2, 0):
            raise Cut

    with monkeypatch.context() as patch, pytest.raises(Cut):
        if place == "after the training":
            patch.setattr(distill.student_bundle, "tune_tau", cut)
        elif place == "before the bundle":
            patch.setattr(distill.student_bundle, "save_bundle", cut)
        train(uneven, tmp_path, "post-hoc", report=after_an_epoch if place == "training" else None)
    resumed = train(uneven, tmp_path, "post-hoc")
    whole = load_bundle(trained / "post-hoc").metrics
    assert equal(trained / "post-hoc", tmp_path)
    assert resumed["balance"] == whole["balance"] and resumed["val"] == whole["val"]
