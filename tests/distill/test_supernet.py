"""A supernet: made, kept, gone on with, refused where it is another one; and what is cut out of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import timm
import torch

import distill.supernet
from core.config import AugmentConfig, LossConfig, StudentConfig, TrainConfig
from core.errors import UserError
from distill.inherited_weights import InheritedWeights, inherit_from_teacher
from distill.prepared_teacher import PreparedTeacher
from distill.sandwich import Sandwich
from distill.student_loss import StudentLoss
from distill.student_training import train_student
from distill.supernet import find_supernet, load_supernet, train_supernet
from nas.networks import build
from nas.spaces.elastic import Elastic
from teachers.base import weights_digest
from teachers.ensemble import TeacherEnsemble
from teachers.finetune import Teacher
from teachers.output_cache import cache_outputs
from training.batches import Batches, augmentation_of
from training.bundle import load_bundle
from training.metrics import Metrics
from training.preprocess import Normalization

BASE = "mobilenetv3_small_050"
HALF = Normalization((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
RECIPE = TrainConfig(epochs=2, views=1, learning_rate=1e-3)


@pytest.fixture(scope="module")
def taught(some_digits, tmp_path_factory) -> PreparedTeacher:
    """An untrained teacher, and what it says about one view."""
    torch.manual_seed(0)
    model = timm.create_model(BASE, num_classes=10).eval().requires_grad_(False)
    val = Metrics(0.1, 0.1, 0.1, (), ())
    digest = weights_digest(BASE, model)
    teacher = Teacher(BASE, model, 32, HALF, digest, val, "a seed", True, 0.0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MINNOW_CACHE", str(tmp_path_factory.mktemp("cache")))
        outputs = cache_outputs(teacher, some_digits, augmentation_of(AugmentConfig(), some_digits), 1)
    return PreparedTeacher(TeacherEnsemble((teacher,), (1.0,)), val, outputs, {})


@pytest.fixture(scope="module")
def start(taught, some_digits) -> InheritedWeights:
    return inherit_from_teacher(taught.ensemble, some_digits)


@pytest.fixture(scope="module")
def space(start) -> Elastic:
    return Elastic((24, 32), base=start.base)


def make(space, taught, data, folder: Path, recipe=RECIPE, **options) -> InheritedWeights:
    options = {"warn": print, **options}
    return train_supernet(space, taught, data, recipe, LossConfig(), AugmentConfig(), folder, **options)


@pytest.fixture(scope="module")
def made(space, start, taught, some_digits, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("run") / "supernet"
    make(space, taught, some_digits, folder)
    return folder


def equal(one: InheritedWeights, other: InheritedWeights) -> bool:
    return one.digest == other.digest and one.normalization == other.normalization


def test_it_is_kept_whole_and_made_once(made, space, start, taught, some_digits, monkeypatch):
    kept = load_supernet(made)
    assert kept.base == start.base and kept.normalization == HALF and kept.classes == 10
    assert kept.weights.keys() == start.weights.keys() and kept.orders.keys() == start.orders.keys()
    assert {file.name for file in made.iterdir()} == {"weights.safetensors", "base.yaml", "record.json"}
    assert equal(find_supernet(made.parent), kept)
    monkeypatch.setattr(distill.supernet, "fit", None)  # would fail if it were called
    assert equal(make(space, taught, some_digits, made), kept)


def test_training_changed_the_weights_but_not_the_order(made, start):
    kept = load_supernet(made)
    assert not torch.equal(kept.weights["classifier.weight"], start.weights["classifier.weight"])
    assert all(torch.equal(kept.orders[group], order) for group, order in start.orders.items())


def test_the_order_of_channels_is_a_setting(made, space, taught, some_digits, tmp_path):
    by_magnitude = inherit_from_teacher(taught.ensemble, some_digits, "magnitude").orders
    recipe = RECIPE.model_copy(update={"epochs": 1})
    other = make(space, taught, some_digits, tmp_path, recipe, importance="magnitude")
    assert all(torch.equal(other.orders[group], order) for group, order in by_magnitude.items())
    kept = load_supernet(made).orders
    assert not all(torch.equal(kept[group], order) for group, order in by_magnitude.items())
    with pytest.raises(UserError, match="trained with another"):
        make(space, taught, some_digits, tmp_path, recipe)


def test_interrupted_it_ends_with_the_same_weights(made, space, start, taught, some_digits, tmp_path):
    class Stop(Exception):
        pass

    def report(progress):
        if progress.epoch == 1 and progress.step == 2:
            raise Stop

    with pytest.raises(Stop):
        make(space, taught, some_digits, tmp_path / "supernet", report=report)
    assert find_supernet(tmp_path) is None
    assert equal(make(space, taught, some_digits, tmp_path / "supernet"), load_supernet(made))


def test_another_one_is_refused(made, space, start, taught, some_digits):
    other = RECIPE.model_copy(update={"learning_rate": 2e-3})
    with pytest.raises(UserError, match="trained with another teacher, data set, space or recipe"):
        make(space, taught, some_digits, made, recipe=other)


@pytest.mark.parametrize("file", ["weights.safetensors", "record.json", "base.yaml"])
def test_damage_is_named(made, tmp_path, file):
    for source in made.iterdir():
        (tmp_path / source.name).write_bytes(source.read_bytes())
    content = bytearray((tmp_path / file).read_bytes())
    content[len(content) // 2 :] = b"?"
    (tmp_path / file).write_bytes(bytes(content))
    with pytest.raises(UserError, match=str(tmp_path)):
        load_supernet(tmp_path)


def test_the_sandwich_is_the_mean_over_its_networks(space, start, taught, some_digits):
    """Against networks built and loaded one by one; the random ones follow torch's generator."""
    batches = Batches(
        data=some_digits,
        resolution=32,
        normalization=HALF,
        augmentation=augmentation_of(AugmentConfig(), some_digits),
        batch_size=64,
        views=1,
        seed=0,
        outputs=taught.outputs,
    )
    batch = next(batches.epoch(0))
    loss = StudentLoss(LossConfig())
    drawn: list = []

    class Noted(Elastic):
        def spread(self, rng: np.random.Generator) -> tuple[int, ...]:
            drawn.append(super().spread(rng))
            return drawn[-1]

    sandwich = Sandwich(Noted((32,), base=start.base), start.orders, loss, 10)
    model = timm.create_model(BASE, num_classes=10)
    model.load_state_dict(dict(start.weights))
    torch.manual_seed(3)
    mean = sandwich(model.train(), batch)
    points = [sandwich.space.largest, sandwich.space.smallest, *drawn]
    losses = [loss(start.subnet(sandwich.space.decode(point)).train(), batch) for point in points]
    torch.testing.assert_close(mean, sum(losses) / 4)
    torch.manual_seed(3)
    again = sandwich(model.train(), batch)
    assert torch.equal(again, mean)


def test_a_student_starts_from_its_part(made, space, taught, some_digits, tmp_path):
    """With a learning rate of almost nothing it ends where it began, and its bundle says how it sees."""
    supernet = load_supernet(made)
    architecture = space.decode(space.smallest)
    config = StudentConfig(
        train=TrainConfig(epochs=1, views=1, learning_rate=1e-12, weight_decay=0.0), loss=LossConfig()
    )
    train_student(
        architecture,
        some_digits,
        config,
        tmp_path,
        teacher=taught,
        inherited=supernet,
    )
    bundle = load_bundle(tmp_path)
    assert bundle.normalization == HALF and bundle.metrics["inherited"] == BASE
    first = supernet.subnet(architecture).state_dict()
    for name, value in bundle.model.state_dict().items():
        if "running" not in name and "tracked" not in name and "head" not in name:
            torch.testing.assert_close(value, first[name], atol=1e-6, rtol=1e-6)


def test_what_was_cut_out_of_another_base_cannot_inherit(start):
    other = replace(Elastic((32,)).base, resolution=32)
    with pytest.raises(UserError, match=f"cannot inherit from {BASE}"):
        start.subnet(other)


def test_one_teacher_at_a_time(taught, some_digits):
    twice = TeacherEnsemble(taught.ensemble.members * 2, (0.5, 0.5))
    with pytest.raises(UserError, match="inherit from one teacher"):
        inherit_from_teacher(twice, some_digits)


def test_built_without_inheriting(space):
    network = build(space.decode(space.smallest), 10).eval()
    assert network(torch.zeros(1, 3, 24, 24)).shape == (1, 10)
