"""Every tensor of a training follows its batches to their device, shown on torch's meta device.

A meta tensor has a shape and no values, and operations refuse to mix it with tensors of the CPU, as
they do with those of a GPU. So these tests need no GPU. Where values leave the device, ones stand in
for them (:func:`meta`).
"""

from __future__ import annotations

import contextlib

import numpy as np
import pytest
import timm
import torch

from core.config import BalanceConfig, LossConfig, TrainConfig
from distill.inherited_weights import inherit_from_base
from distill.student_loss import StudentLoss, student_loss
from distill.supernet import Sandwich
from nas.networks import build
from nas.spaces.elastic import Elastic
from teachers.finetune import Teacher
from teachers.output_cache import inference_function
from training.augment import OPERATIONS, Augmentation, apply
from training.balance import loss_offsets, subtract_from_bias
from training.batches import Batches
from training.evaluate import logits_of
from training.fit import cross_entropy, fit
from training.metrics import Metrics
from training.preprocess import IMAGENET
from training.recalibrate import recalibrate
from training.signals import Signals
from training.views import augmented, seen, stored

META = torch.device("meta")
RECIPE = TrainConfig(epochs=2, batch_size=64, views=2, clip_grad=1.0)
STRONG = Augmentation(cutmix=0.4, mixup=0.4)


@pytest.fixture
def meta(monkeypatch: pytest.MonkeyPatch) -> torch.device:
    """The meta device as a stand-in for a GPU: what leaves it is all ones."""
    item, number, cpu, generator = (
        torch.Tensor.item,
        torch.Tensor.__float__,
        torch.Tensor.cpu,
        torch.Generator,
    )
    monkeypatch.setattr(torch.Tensor, "item", lambda t: 1.0 if t.is_meta else item(t))
    monkeypatch.setattr(torch.Tensor, "__float__", lambda t: 1.0 if t.is_meta else number(t))
    monkeypatch.setattr(
        torch.Tensor, "cpu", lambda t: torch.ones(t.shape, dtype=t.dtype) if t.is_meta else cpu(t)
    )
    monkeypatch.setattr(torch, "Generator", lambda device="cpu": generator())
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: contextlib.nullcontext())
    return META


def batches_of(data, resolution: int = 32, outputs=None, **options) -> Batches:
    return Batches(data, resolution, IMAGENET, STRONG, 64, 2, 0, outputs=outputs, device=META, **options)


def cpu_outputs(view: int, indices: np.ndarray, look) -> Signals:
    """Cached outputs of a teacher, which lie on the CPU."""
    rows = len(indices)
    return Signals(torch.zeros(rows, 10), torch.zeros(rows, 12), torch.zeros(rows, 3, 8, 8))


def test_views_are_made_where_they_are_wanted(digits):
    indices = digits.splits["train"][:32]
    images = stored(digits, indices, META)
    for name in OPERATIONS:
        assert apply(name, images, 9, negative=False).device == META, name
    assert augmented(digits, indices, 0, STRONG, META).device == META
    for resolution in (32, 24):
        for _ in range(2):  # computed, then from the cache
            view = seen(digits, indices, 0, STRONG, resolution, META)
            assert view.device == META and view.shape == (32, 3, resolution, resolution)


@pytest.mark.parametrize("balanced", [False, True])
def test_a_batch_lies_on_one_device(some_digits, balanced: bool):
    batch = next(batches_of(some_digits, outputs=cpu_outputs, balanced=balanced).epoch(0))
    assert batch.teacher is not None and batch.shares is not None
    tensors = [batch.images, batch.labels, batch.shares]
    tensors += [batch.teacher.get(kind) for kind in ("logits", "pooled", "attention")]
    assert {tensor.device for tensor in tensors} == {META}


@pytest.mark.parametrize("mode", ["none", "logit-adjust"])
def test_a_training_on_labels(some_digits, tiny, meta, mode: str):
    offsets = loss_offsets(BalanceConfig(mode=mode), some_digits)
    fitted = fit(build(tiny, 10), batches_of(some_digits), cross_entropy(0.1, offsets), RECIPE)
    assert {tensor.device for tensor in fitted.model.state_dict().values()} == {META}


@pytest.mark.parametrize("features", [None, "hint", "rkd", "at"])
# dkd selects columns by a mask, whose size the meta device cannot know.
@pytest.mark.parametrize("name", ["kd", "dist", "ls"])
def test_a_distillation_from_a_student_on_the_cpu(some_digits, tiny, meta, name, features):
    batches, student = batches_of(some_digits, outputs=cpu_outputs), build(tiny, 10)
    offsets = loss_offsets(BalanceConfig(mode="logit-adjust"), some_digits)
    before = {key: value.clone() for key, value in student.state_dict().items()}
    loss = student_loss(LossConfig(name=name, features=features), 0.1, student, batches, offsets)
    assert all(torch.equal(value, before[key]) for key, value in student.state_dict().items())
    assert {weight.device for weight in loss.parameters()} <= {META}
    fitted = fit(student, batches, loss, RECIPE)
    assert len(fitted.history) == 2


@pytest.mark.filterwarnings("ignore:.*copying from a non-meta parameter")
def test_a_checkpoint_returns_to_the_device(some_digits, tiny, meta, tmp_path, monkeypatch):
    """The file holds tensors of the CPU, whatever the training computed on."""
    saved: list[dict] = []

    def as_on_the_cpu(path, state) -> None:
        saved.append(_on_cpu(state))

    monkeypatch.setattr("training.fit.save_checkpoint", as_on_the_cpu)
    monkeypatch.setattr("training.fit.load_checkpoint", lambda *_: saved[0] if saved else None)
    for _ in range(2):  # whole, then resumed after the first epoch
        model, batches = build(tiny, 10), batches_of(some_digits, outputs=cpu_outputs)
        loss = student_loss(LossConfig(features="hint"), 0.1, model, batches)
        fitted = fit(model, batches, loss, RECIPE, checkpoint=tmp_path / "checkpoint.pt")
        assert {tensor.device for tensor in fitted.model.state_dict().values()} == {META}
    assert len(saved) == 3


def _on_cpu(value):
    if isinstance(value, torch.Tensor):
        return value.cpu()
    if isinstance(value, dict):
        return {key: _on_cpu(one) for key, one in value.items()}
    return [_on_cpu(one) for one in value] if isinstance(value, list) else value


def test_evaluation_recalibration_and_adjustment(some_digits, tiny, meta):
    model = build(tiny, 10).to(META)
    view = {"resolution": 32, "normalization": IMAGENET}
    assert logits_of(model, some_digits, some_digits.splits["val"], **view).shape == (60, 10)
    recalibrate(model, some_digits, STRONG, images=100, **view)
    subtract_from_bias(model, np.zeros(10))
    infer = inference_function(model, 32, ("attention",))
    assert infer(torch.zeros(2, 3, 32, 32, device=META)).get("attention").device == META


def test_a_supernet_and_what_students_inherit(some_digits, meta):
    """Orders and inherited weights lie on the CPU; the supernet is trained on the device."""
    model = timm.create_model("mobilenetv3_small_050", num_classes=10).eval().to(META)
    teacher = Teacher(
        "mobilenetv3_small_050",
        model,
        32,
        IMAGENET,
        "digest",
        Metrics(0.1, 0.1, 0.1, (), ()),
        "",
        True,
        0.0,
    )
    inherited = inherit_from_base(teacher, some_digits)
    tensors = [*inherited.weights.values(), *inherited.orders.values()]
    assert {tensor.device.type for tensor in tensors} == {"cpu"}
    space = Elastic((24, 32), base=inherited.base)
    assert inherited.subnet(space.decode(space.smallest))(torch.zeros(2, 3, 24, 24)).shape == (2, 10)
    batches = batches_of(some_digits.resplit(train=some_digits.splits["train"][:64]), outputs=cpu_outputs)
    recipe = RECIPE.model_copy(update={"epochs": 1})
    loss = Sandwich(space, inherited.orders, StudentLoss(LossConfig(features=None)), 10)
    assert len(fit(model.requires_grad_(True), batches, loss, recipe).history) == 1
