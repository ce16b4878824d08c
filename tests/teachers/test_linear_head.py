"""Teachers of frozen features: a head by logistic regression, on transformers of several families."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from sklearn.linear_model import LogisticRegression
from torch.nn import functional as F

from core.config import AugmentConfig, TeacherConfig
from core.errors import UserError
from teachers.base import PretrainedNetwork, TeacherSource, weights_digest
from teachers.finetune import finetune_teacher
from teachers.linear_head import VIEWS, logistic_regression
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


def clusters(seed: int, n: int, spread: float = 1.5):
    """Points around three centres, whose coordinates differ in scale and offset."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(3, size=n)
    centres = np.random.default_rng(7).standard_normal((3, 5))
    points = centres[labels] + spread * rng.standard_normal((n, 5))
    scale, offset = np.array([1, 10, 0.1, 3, 1]), np.array([0, 5, -1, 0, 100])
    return torch.from_numpy((points * scale + offset).astype(np.float32)), torch.from_numpy(labels)


def test_it_is_scikit_learns_regression():
    (features, labels), (val, val_labels) = clusters(0, 300), clusters(1, 100)
    weight, bias = logistic_regression(features, labels, val, val_labels, 3, penalties=(0.05,))
    mean, spread = features.mean(dim=0), features.std(dim=0)
    oracle = LogisticRegression(C=1 / (0.05 * len(features)), tol=1e-8, max_iter=1000)
    oracle.fit(((features - mean) / spread).numpy(), labels.numpy())
    expected = oracle.predict_proba(((val - mean) / spread).numpy())
    np.testing.assert_allclose(F.linear(val, weight, bias).softmax(dim=1), expected, atol=2e-3)


def test_the_penalty_is_that_of_the_best_validation():
    (features, labels), (val, val_labels) = clusters(0, 25), clusters(1, 400)

    def loss(penalties):
        weight, bias = logistic_regression(features, labels, val, val_labels, 3, penalties)
        return float(F.cross_entropy(F.linear(val, weight, bias), val_labels))

    each = [loss((penalty,)) for penalty in (30.0, 0.1, 1e-5)]
    assert min(each) == each[1]  # neither end
    assert loss((30.0, 0.1, 1e-5)) == pytest.approx(each[1], abs=1e-3)


def test_a_class_without_training_images():
    (features, labels), (val, val_labels) = clusters(0, 60), clusters(1, 60)
    weight, bias = logistic_regression(features, labels, val, val_labels, 4)
    assert torch.isfinite(weight).all() and torch.isfinite(bias).all()
    assert (F.linear(val, weight, bias).argmax(dim=1) < 3).all()


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
    counts = {"train": 12, "val": 4, "test": 4}
    few = some_digits.resplit(**{p: some_digits.splits[p][:n] for p, n in counts.items()})
    config = TeacherConfig(spec=f"{name}:{tmp_path / 'dino.pth'}")
    teacher = finetune_teacher(config, few, AUGMENT)
    assert (teacher.resolution, teacher.head_alone) == (70, "pretrained without classes")
    assert teacher.model.head.weight.shape == (10, 384)
