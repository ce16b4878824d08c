"""A supernet: trained, saved, resumed, refused with other settings; and the students cut out of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import timm
import torch
from torch.nn import functional as F
from torchvision.transforms.functional import resize

import distill.supernet
from core.config import AugmentConfig, LossConfig, StudentConfig, TrainConfig
from core.errors import UserError
from distill.inherited_weights import InheritedWeights, inherit_from_base, saved_channel_orders
from distill.student_loss import StudentLoss
from distill.student_training import train_student
from distill.supernet import (
    NearLimits,
    Sandwich,
    find_supernet,
    load_supernet,
    train_supernet,
)
from nas.networks import build
from nas.spaces.elastic import Elastic
from teachers.base import weights_digest
from teachers.ensemble import PreparedTeacher, TeacherEnsemble
from teachers.finetune import Teacher
from teachers.output_cache import cache_outputs
from training.batches import Batch, Batches, augmentation_of
from training.bundle import load_bundle
from training.metrics import Metrics
from training.preprocess import Normalization, prepare
from training.signals import Signals

BASE = "mobilenetv3_small_050"
HALF = Normalization((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
RECIPE = TrainConfig(epochs=2, views=1, learning_rate=1e-3)


@pytest.fixture(scope="module")
def prepared(some_digits, tmp_path_factory) -> PreparedTeacher:
    """An untrained teacher with its outputs for one view."""
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
def start(prepared, some_digits) -> InheritedWeights:
    return inherit_from_base(prepared.ensemble.members[0], some_digits)


@pytest.fixture(scope="module")
def space(start) -> Elastic:
    return Elastic((24, 32), base=start.base)


def make(space, prepared, data, folder: Path, recipe=RECIPE, **options) -> InheritedWeights:
    options = {"warn": print, **options}
    base = options.pop("base", prepared.ensemble.members[0])
    return train_supernet(
        space, base, prepared, data, recipe, LossConfig(), AugmentConfig(), folder, **options
    )


@pytest.fixture(scope="module")
def supernet_folder(space, start, prepared, some_digits, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("run") / "supernet"
    make(space, prepared, some_digits, folder)
    return folder


def equal(one: InheritedWeights, other: InheritedWeights) -> bool:
    return one.digest == other.digest and one.normalization == other.normalization


def test_it_is_kept_whole_and_made_once(
    supernet_folder, space, start, prepared, some_digits, monkeypatch
):
    kept = load_supernet(supernet_folder)
    assert kept.base == start.base and kept.normalization == HALF and kept.classes == 10
    assert kept.weights.keys() == start.weights.keys() and kept.orders.keys() == start.orders.keys()
    assert {file.name for file in supernet_folder.iterdir()} == {
        "weights.safetensors",
        "base.yaml",
        "record.json",
    }
    assert equal(find_supernet(supernet_folder.parent), kept)
    monkeypatch.setattr(distill.supernet, "fit", None)  # would fail if it were called
    assert equal(make(space, prepared, some_digits, supernet_folder), kept)


def test_training_changed_the_weights_but_not_the_order(supernet_folder, start):
    kept = load_supernet(supernet_folder)
    assert not torch.equal(kept.weights["classifier.weight"], start.weights["classifier.weight"])
    assert all(torch.equal(kept.orders[group], order) for group, order in start.orders.items())


def test_the_order_of_channels_is_a_setting(supernet_folder, space, prepared, some_digits, tmp_path):
    by_magnitude = inherit_from_base(prepared.ensemble.members[0], some_digits, "magnitude").orders
    recipe = RECIPE.model_copy(update={"epochs": 1})
    other = make(space, prepared, some_digits, tmp_path, recipe, importance="magnitude")
    assert all(torch.equal(other.orders[group], order) for group, order in by_magnitude.items())
    kept = load_supernet(supernet_folder).orders
    assert not all(torch.equal(kept[group], order) for group, order in by_magnitude.items())
    with pytest.raises(UserError, match="trained with another"):
        make(space, prepared, some_digits, tmp_path, recipe)


def test_interrupted_it_ends_with_the_same_weights(
    supernet_folder, space, start, prepared, some_digits, tmp_path
):
    class Stop(Exception):
        pass

    def report(progress):
        if progress.epoch == 1 and progress.step == 2:
            raise Stop

    with pytest.raises(Stop):
        make(space, prepared, some_digits, tmp_path / "supernet", report=report)
    assert find_supernet(tmp_path) is None
    assert equal(
        make(space, prepared, some_digits, tmp_path / "supernet"), load_supernet(supernet_folder)
    )


def test_another_one_is_refused(supernet_folder, space, start, prepared, some_digits):
    other = RECIPE.model_copy(update={"learning_rate": 2e-3})
    with pytest.raises(UserError, match="trained with another base, teacher, data set, space or recipe"):
        make(space, prepared, some_digits, supernet_folder, recipe=other)


@pytest.mark.slow
def test_it_learns_from_a_teacher_that_is_not_its_base(
    supernet_folder, space, prepared, some_digits, tmp_path
):
    base = prepared.ensemble.members[0]
    sure = torch.eye(10)[7] * 20  # of one class, whatever the image

    def outputs(view, indices, look):
        return Signals(logits=sure.expand(len(indices), 10))

    ensemble = TeacherEnsemble((replace(base, digest="another"),), (1.0,))
    other = replace(prepared, ensemble=ensemble, outputs=outputs)
    with pytest.raises(UserError, match="trained with another base, teacher"):
        make(space, other, some_digits, supernet_folder, base=base)
    recipe = RECIPE.model_copy(update={"learning_rate": 1e-2})
    whole = make(space, other, some_digits, tmp_path / "other", base=base, recipe=recipe)
    network, _ = whole.evaluate_subnet(whole.base, some_digits, AugmentConfig())
    images = prepare(torch.from_numpy(some_digits.images[:64].copy()).permute(0, 3, 1, 2), 32, HALF)
    assert (network(images).argmax(dim=1) == 7).all()


@pytest.mark.parametrize("file", ["weights.safetensors", "record.json", "base.yaml"])
def test_damage_is_named(supernet_folder, tmp_path, file):
    for source in supernet_folder.iterdir():
        (tmp_path / source.name).write_bytes(source.read_bytes())
    content = bytearray((tmp_path / file).read_bytes())
    content[len(content) // 2 :] = b"?"
    (tmp_path / file).write_bytes(bytes(content))
    with pytest.raises(UserError, match=str(tmp_path)):
        load_supernet(tmp_path)


@pytest.fixture
def batch(prepared, some_digits) -> Batch:
    """64 images with the teacher's logits."""
    batches = Batches(
        data=some_digits,
        resolution=32,
        normalization=HALF,
        augmentation=augmentation_of(AugmentConfig(), some_digits),
        batch_size=64,
        views=1,
        seed=0,
        outputs=prepared.outputs,
    )
    return next(batches.epoch(0))


def test_the_sandwich_is_the_mean_over_its_subnets(space, start, batch):
    """Against subnets built one by one, images resized by torchvision, and the loss written out."""
    loss = StudentLoss(LossConfig())
    points: list = []

    class Recorder(Elastic):
        def spread(self, rng: np.random.Generator) -> tuple[int, ...]:
            points.append(super().spread(rng))
            return points[-1]

    sandwich = Sandwich(Recorder((24, 32), base=start.base), start.orders, loss, 10)
    model = timm.create_model(BASE, num_classes=10)
    model.load_state_dict(dict(start.weights))
    torch.manual_seed(3)
    mean = sandwich(model.train(), batch)
    assert len(points) == 2  # beside the largest and the smallest

    def expected(network: torch.nn.Module, side: int) -> torch.Tensor:
        """``0.9 KL + 0.1 cross-entropy``, the default loss, from torch's functions."""
        images = resize(batch.images, [side, side], antialias=True)
        logits = network.train()(images)
        soft = F.kl_div(logits.log_softmax(1), batch.teacher.logits.softmax(1), reduction="batchmean")
        weight = LossConfig().weight
        return weight * soft + (1 - weight) * F.cross_entropy(logits, batch.labels)

    largest = timm.create_model(BASE, num_classes=10)
    largest.load_state_dict(dict(start.weights))
    losses = [expected(largest, 32)]
    for point in [sandwich.space.smallest, *points]:
        architecture = sandwich.space.decode(point)
        losses.append(expected(start.subnet(architecture), architecture.resolution))
    assert {sandwich.space.decode(point).resolution for point in [sandwich.space.smallest, *points]} >= {
        24
    }
    torch.testing.assert_close(mean, sum(losses) / 4)
    torch.manual_seed(3)
    assert torch.equal(sandwich(model.train(), batch), mean)


def test_near_limits_three_of_the_given_subnets_are_trained(start, space, batch):
    rng = np.random.default_rng(0)
    subnets = [space.decode(space.canonical(space.spread(rng))) for _ in range(5)]
    loss = StudentLoss(LossConfig())
    near = NearLimits(space, start.orders, loss, 10, subnets)
    assert len({*near.drawn(rng)}) == 3 and {*near.drawn(rng)} <= {*subnets}
    model = timm.create_model(BASE, num_classes=10)
    model.load_state_dict(dict(start.weights))
    torch.manual_seed(3)
    mean = near(model.train(), batch)
    torch.manual_seed(3)
    drawn = near.drawn(np.random.default_rng(int(torch.randint(2**62, ()).item())))
    losses = []
    for network in drawn:
        side = network.resolution
        images = batch.images if side == 32 else resize(batch.images, [side, side], antialias=True)
        losses.append(loss(start.subnet(network).train(), replace(batch, images=images)))
    torch.testing.assert_close(mean, sum(losses) / 3)


def test_it_records_the_limits_it_was_trained_for(start, space, prepared, some_digits, tmp_path):
    scores: list = []
    near = [space.decode(space.smallest)]
    make(
        space, prepared, some_digits, tmp_path, RECIPE.model_copy(update={"epochs": 1}),
        near=near, limits=["macs<=1M"], report=lambda progress: scores.append(progress.val_f1),
    )  # fmt: skip
    assert load_supernet(tmp_path).limits == ("macs<=1M",)
    assert scores and not any(scores)  # the whole network's score says nothing
    left = load_supernet(tmp_path).weights["blocks.5.0.conv.weight"]
    assert left.shape == start.weights["blocks.5.0.conv.weight"].shape


def test_begun_near_some_limits_it_does_not_go_on_near_others(space, prepared, some_digits, tmp_path):
    def stop(progress):
        if progress.epoch == 1 and progress.step == 1:
            raise KeyboardInterrupt

    near = [space.decode(space.smallest)]
    with pytest.raises(KeyboardInterrupt):
        make(space, prepared, some_digits, tmp_path, near=near, limits=["macs<=1M"], report=stop)
    with pytest.raises(UserError, match="resume with the settings it was made with"):
        make(space, prepared, some_digits, tmp_path, near=near, limits=["macs<=2M"])


def test_a_student_starts_from_its_part(supernet_folder, space, prepared, some_digits, tmp_path):
    """With hardly any learning rate it keeps its weights, and its bundle has the teacher's normalisation."""
    supernet = load_supernet(supernet_folder)
    architecture = space.decode(space.smallest)
    config = StudentConfig(
        train=TrainConfig(epochs=1, views=1, learning_rate=1e-12, weight_decay=0.0), loss=LossConfig()
    )
    train_student(
        architecture,
        some_digits,
        config,
        tmp_path,
        teacher=prepared,
        inherited=supernet,
    )
    bundle = load_bundle(tmp_path)
    assert bundle.normalization == HALF and bundle.metrics["inherited"] == BASE
    assert bundle.metrics["inherited_source"] == supernet.source is not None
    first = supernet.subnet(architecture).state_dict()
    for name, value in bundle.model.state_dict().items():
        if "running" not in name and "tracked" not in name and "head" not in name:
            torch.testing.assert_close(value, first[name], atol=1e-6, rtol=1e-6)


def test_what_was_cut_out_of_another_base_cannot_inherit(start):
    other = replace(Elastic((32,)).base, resolution=32)
    with pytest.raises(UserError, match=f"cannot inherit from {BASE}"):
        start.subnet(other)


def test_built_without_inheriting(space):
    network = build(space.decode(space.smallest), 10).eval()
    assert network(torch.zeros(1, 3, 24, 24)).shape == (1, 10)


def test_damaged_orders_of_channels_are_one_line(tmp_path):
    path = tmp_path / "orders.safetensors"
    for content in (
        b"half",
        safetensors.torch.save({"group": torch.tensor([0, 2, 2])}),
        safetensors.torch.save({"group": torch.tensor([0, 1, 3])}),
    ):
        path.write_bytes(content)
        with pytest.raises(UserError, match=r"orders\.safetensors is damaged"):
            saved_channel_orders(None, None, "taylor", path, begun=True)
    whole = torch.tensor([2, 0, 1])
    path.write_bytes(safetensors.torch.save({"group": whole}))
    assert torch.equal(saved_channel_orders(None, None, "taylor", path, begun=True)["group"], whole)
