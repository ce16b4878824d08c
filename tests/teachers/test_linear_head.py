"""Teachers of frozen features: a head by logistic regression, on transformers of several families."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from torch.nn import functional as F

import teachers.linear_head
from core.config import AugmentConfig, TeacherConfig
from core.errors import UserError
from teachers.base import PretrainedNetwork, TeacherSource, weights_digest
from teachers.finetune import finetune_teacher
from teachers.linear_head import VIEWS, best_penalty, logistic_regression
from teachers.output_cache import cache_outputs, inference_function
from teachers.timm_models import pretrained_from_timm
from training.batches import augmentation_of
from training.preprocess import prepare
from training.signals import signals_of
from training.views import stored

AUGMENT = AugmentConfig()
#: As DINOv2 (patches of 14 px, registers), SigLIP (attention pooling), and a plain classifier.
FAMILIES = {
    "dino": {
        "patch_size": 14,
        "img_size": 224,
        "reg_tokens": 4,
        "no_embed_class": True,
        "num_classes": 0,
    },
    "siglip": {"img_size": 160, "class_token": False, "global_pool": "map", "num_classes": 0},
    "classifier": {"num_classes": 7},
}


class Tiny(TeacherSource):
    """Small transformers with weights drawn from a fixed seed."""

    name = "tiny"

    def find(self, spec: str) -> PretrainedNetwork:
        torch.manual_seed(0)
        model = timm.create_model("test_vit", **FAMILIES[spec])
        if "img_size" in FAMILIES[spec]:
            side = FAMILIES[spec]["img_size"]
            model.pretrained_cfg = {**model.pretrained_cfg, "input_size": (3, side, side)}
        return pretrained_from_timm(spec, model, "a fixed seed")


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MINNOW_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def make(data, spec: str, warn=pytest.fail, count=None, **settings):
    config = TeacherConfig(spec=spec, **settings)
    return finetune_teacher(config, data, AUGMENT, sources=[Tiny()], warn=warn, count=count)


def clusters(seed: int, n: int, spread: float = 1.5, classes: int = 3):
    """Points around a few centres, whose coordinates differ in scale and offset."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(classes, size=n)
    centres = np.random.default_rng(7).standard_normal((classes, 5))
    points = centres[labels] + spread * rng.standard_normal((n, 5))
    scale, offset = np.array([1, 10, 0.1, 3, 1]), np.array([0, 5, -1, 0, 100])
    return (points * scale + offset).astype(np.float32), labels


@pytest.mark.parametrize("classes", [2, 3])
def test_it_is_a_minimum_of_the_penalised_loss(classes):
    features, labels = clusters(0, 300, classes=classes)
    weight, bias = (part.double() for part in logistic_regression(features, labels, 0.05))
    mean, spread = features.mean(axis=0, dtype=np.float64), features.std(axis=0, dtype=np.float64)
    inputs = torch.from_numpy((features - mean) / spread)
    scaled = (weight * torch.from_numpy(spread)).requires_grad_(True)  # for features of variance 1
    shifted = (bias + weight @ torch.from_numpy(mean)).requires_grad_(True)
    if classes == 2:  # half the difference has half the norm of one class's logit and none of the other's
        logits = torch.stack([torch.zeros(300), 2 * F.linear(inputs, scaled[1:], shifted[1:])[:, 0]], 1)
        norm = (2 * scaled[1]).square().sum()
    else:
        logits, norm = F.linear(inputs, scaled, shifted), scaled.square().sum()
    loss = F.cross_entropy(logits, torch.from_numpy(labels)) + 0.05 / 2 * norm
    assert weight.shape == (classes, 5) and bias.shape == (classes,)
    for slope in torch.autograd.grad(loss, [scaled, shifted]):
        assert slope.abs().max() < 1e-3


def test_the_penalty_is_that_of_the_best_validation():
    (features, labels), (val, val_labels) = clusters(0, 25), clusters(1, 400)

    def loss(penalty):
        weight, bias = logistic_regression(features, labels, penalty)
        return float(
            F.cross_entropy(F.linear(torch.from_numpy(val), weight, bias), torch.from_numpy(val_labels))
        )

    each = [loss(penalty) for penalty in (30.0, 0.1, 1e-5)]
    assert min(each) == each[1]  # neither end
    assert best_penalty(features, labels, val, val_labels, (30.0, 0.1, 1e-5)) == 0.1


def test_validation_images_that_are_trained_on_do_not_choose_the_penalty(some_digits, monkeypatch):
    chosen = []

    def choose(features, labels, val_features, val_labels):
        chosen.append((len(labels), len(val_labels)))
        return 0.1

    monkeypatch.setattr(teachers.linear_head, "best_penalty", choose)
    held_out, more = make(some_digits, "dino"), make(some_digits.refit("all"), "dino")
    train, val = (len(some_digits.splits[part]) for part in ("train", "val"))
    assert chosen == [(VIEWS * train, val)] * 2
    assert not torch.equal(held_out.model.head.weight, more.model.head.weight)


@pytest.mark.parametrize("family", FAMILIES)
def test_only_the_head_is_trained(some_digits, family):
    start = Tiny().find(family)
    settings = {"tune": "head"} if family == "classifier" else {}
    counted: list[tuple[int, int]] = []
    teacher = make(some_digits, family, count=lambda *done: counted.append(done), **settings)
    assert counted[-1] == (VIEWS * 200, VIEWS * 200)
    assert teacher.resolution == (70 if family == "dino" else 64)
    expected = {"dino": "pretrained without classes", "classifier": "as asked"}
    assert teacher.head_alone == expected.get(family, "pretrained without classes")
    start.take_resolution(teacher.resolution)
    before = start.model.state_dict()
    for name, value in teacher.model.state_dict().items():
        if not name.startswith("head."):
            assert torch.equal(value, before[name]), name
    assert teacher.val == teacher.evaluate(some_digits, "val")
    assert teacher.val.accuracy > 0.2  # chance 0.1, on random features
    assert teacher.digest == weights_digest(family, teacher.model) != start.digest

    pixels = stored(some_digits, some_digits.splits["val"][:5], torch.device("cpu"))
    images = prepare(pixels, teacher.resolution, teacher.normalization)
    signals = signals_of(teacher.model, images, ("pooled",))
    head = teacher.model.head
    torch.testing.assert_close(
        signals.logits, F.linear(signals.pooled, head.weight, head.bias), atol=1e-4, rtol=1e-4
    )
    infer = inference_function(teacher.model, teacher.resolution, ("pooled",))
    assert infer.__name__ == "by_onnx_runtime"
    torch.testing.assert_close(infer(images).logits, signals.logits, atol=1e-3, rtol=1e-3)
    outputs = cache_outputs(
        teacher, some_digits, augmentation_of(AUGMENT, some_digits), 1, kinds=("pooled",)
    )
    assert outputs.rows(0, "pooled").shape == (len(some_digits.images), 64)

    again = make(some_digits, family, count=lambda *done: pytest.fail("computed again"), **settings)
    assert again.cached and replace(again, model=teacher.model, cached=False) == teacher


def test_what_decides():
    def reason(name: str, **sizes):
        with torch.device("meta"):
            model = timm.create_model(name, **sizes)
        source = PretrainedNetwork(name, model, 224, None, "", None, "no weights")
        return source.head_alone()

    assert reason("tf_efficientnet_lite0") is reason("convnext_tiny") is reason("resnet50") is None
    assert reason("vit_small_patch14_reg4_dinov2") == "pretrained without classes"
    assert reason("vit_base_patch16_224") == "87 M parameters"


def test_all_of_it_on_request(some_digits):
    teacher = make(some_digits, "siglip", tune="all", epochs=1)
    assert teacher.head_alone is None
    weight = "blocks.0.attn.qkv.weight"
    before = Tiny().find("siglip").model.state_dict()[weight]
    assert not torch.equal(teacher.model.state_dict()[weight], before)


def test_settings_of_a_training_have_no_effect(some_digits):
    warned: list[str] = []
    make(some_digits, "siglip", epochs=3, warn=warned.append)
    assert warned == ["of teacher 'siglip' only the head is trained: teacher.epochs has no effect"]


def test_resolutions_are_whole_patches(some_digits):
    dino = Tiny().find("dino")
    assert [dino.default_resolution(side) for side in (32, 64, 128, 140, 512)] == [70, 70, 140, 140, 224]
    with pytest.raises(UserError, match=r"patches of 14 px; leave out .* or set it to a multiple of 14"):
        make(some_digits, "dino", resolution=64)
    assert make(some_digits, "dino", resolution=84).resolution == 84


def test_a_network_with_two_heads(some_digits):
    class Two(Tiny):
        def find(self, spec: str) -> PretrainedNetwork:
            model = timm.create_model("deit_tiny_distilled_patch16_224")
            return pretrained_from_timm(spec, model, "no weights")

    config = TeacherConfig(spec="two", tune="head")
    with pytest.raises(UserError, match=r"no single linear head to train; set teacher\.tune to all"):
        finetune_teacher(config, some_digits, AUGMENT, sources=[Two()])


def test_a_network_of_timm_from_its_weights_file(some_digits, tmp_path):
    """DINOv2 at its real size, on few images."""
    name = "vit_small_patch14_reg4_dinov2"
    torch.manual_seed(0)
    torch.save(timm.create_model(name).state_dict(), tmp_path / "dino.pth")
    counts = {"val": 4, "test": 4}
    train = some_digits.splits["train"]
    one_each = np.sort(train[np.unique(some_digits.labels[train], return_index=True)[1]])
    few = some_digits.resplit(train=one_each, **{p: some_digits.splits[p][:n] for p, n in counts.items()})
    config = TeacherConfig(spec=f"{name}:{tmp_path / 'dino.pth'}")
    teacher = finetune_teacher(config, few, AUGMENT)
    assert (teacher.resolution, teacher.head_alone) == (70, "pretrained without classes")
    assert teacher.model.head.weight.shape == (10, 384)
