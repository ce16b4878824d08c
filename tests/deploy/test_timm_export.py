"""Students as timm models: which can be, equal logits, and the files as a user loads them."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import load_file
from torch import nn

from core.errors import UserError
from deploy import timm_export
from deploy.device.link import ModelError
from deploy.timm_export import PROGRAM, model_name, write_timm_model
from nas.architecture import Architecture
from nas.networks import build
from nas.networks.timm_architecture import architecture_from_timm
from nas.spaces.elastic import Elastic
from nas.timm_layers import InvertedResidual
from training.bundle import Bundle
from training.preprocess import IMAGENET

CLASSES = ("glass", "metal", 'odd "name" \\ ümlaut')


def trained(architecture: Architecture) -> Bundle:
    """A student with random weights and random statistics in its batch norms."""
    torch.manual_seed(0)
    model = build(architecture, len(CLASSES)).eval()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean)
            nn.init.uniform_(module.running_var, 0.5, 2)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias)
    return Bundle(Path("student"), architecture, CLASSES, IMAGENET, model, {}, {})


@pytest.fixture
def subnet() -> Bundle:
    return trained(Elastic((40,)).random_subnet(np.random.default_rng(1)))


@pytest.mark.parametrize(
    "name", ["tf_efficientnet_lite0", "efficientnet_b0", "mobilenetv2_050", "mobilenetv3_small_100"]
)
def test_subnets_of_a_base_give_their_own_logits(name: str, tmp_path: Path) -> None:
    """The model as timm makes it against the student, in float32: SE gates, both heads, all kernels."""
    base = architecture_from_timm(timm.create_model(name), name, 64)
    space, rng = Elastic((40, 64), base=base), np.random.default_rng(7)
    for number in range(2):
        bundle = trained(space.random_subnet(rng))
        written = write_timm_model(bundle, f"photos {number}", "squash", tmp_path / "out")
        assert written.difference <= 1e-5
        weights = str(tmp_path / "out" / "model.safetensors")
        model = timm.create_model(written.name, checkpoint_path=weights).eval()
        images = torch.randn(3, 3, *[bundle.architecture.resolution] * 2)
        with torch.no_grad():
            expected, given = bundle.model(images), model(images)
        assert expected.std(dim=0).max() > 1e-3, "all images have one answer"
        torch.testing.assert_close(given, expected, rtol=1e-4, atol=1e-5 * float(expected.abs().max()))


def test_equal_channels_without_a_shortcut(tmp_path: Path) -> None:
    """Where a stage begins with as many channels as it gets, timm would add the input by itself."""
    space, rng = Elastic((32,)), np.random.default_rng(0)

    def coincides(architecture: Architecture) -> bool:
        return any(
            isinstance(layer, InvertedResidual)
            and (layer.residual, layer.stride, layer.out) == (False, 1, shape[0])
            for layer, shape in zip(architecture.layers, architecture.shapes, strict=True)
        )

    candidates = (space.random_subnet(rng) for _ in range(300))
    bundle = trained(next(filter(coincides, candidates)))
    assert write_timm_model(bundle, "photos", "squash", tmp_path / "out").difference <= 1e-5


def test_another_process_loads_the_folder(subnet: Bundle, tmp_path: Path) -> None:
    written = write_timm_model(subnet, "photos", "squash", tmp_path / "out")
    images = torch.randn(2, 3, 40, 40)
    torch.save(images, tmp_path / "images.pt")
    program = (
        "import os, sys, torch\n"
        "os.chdir(folder)\n"
        "sys.path.insert(0, '')\n"
        "torch.set_num_threads(1)\n"  # OpenMP's threads do not survive a fork
        "import timm, timm_model\n"
        f"name = {written.name!r}\n"
        "model = timm.create_model(name, pretrained=False, checkpoint_path='model.safetensors').eval()\n"
        "again = timm.create_model(name, pretrained=True).eval()\n"
        "images = torch.load('../images.pt')\n"
        "assert torch.equal(model(images), again(images))\n"
        "torch.save(model(images), '../logits.pt')\n"
        "tuned = timm.create_model(name, pretrained=True, num_classes=7)\n"
        "assert tuned(images).shape == (2, 7)\n"
        "config = timm.data.resolve_model_data_config(model)\n"
        "assert (config['input_size'], config['crop_mode']) == ((3, 40, 40), 'squash'), config\n"
        "assert config['mean'] == (0.485, 0.456, 0.406)\n"
    )
    fork = multiprocessing.get_context("fork")  # a new interpreter would import torch for seconds
    process = fork.Process(target=exec, args=(program, {"folder": written.folder}))
    process.start()
    process.join(120)
    assert process.exitcode == 0
    given = torch.load(tmp_path / "logits.pt")
    torch.testing.assert_close(given, subnet.model(images), rtol=1e-4, atol=1e-4)
    labels = (written.folder / "labels.txt").read_text(encoding="utf-8").splitlines()
    assert labels == list(CLASSES)
    assert {*written.files} == {"labels.txt", "model.safetensors", PROGRAM}


def test_names_in_the_program_are_data(subnet: Bundle, tmp_path: Path) -> None:
    """Names of classes and bases come from files of others; none of them becomes code."""
    evil = '"] + [__import__("os").abort()] + ["'
    architecture = replace(subnet.architecture, base=f"{evil}\n{evil}")
    bundle = replace(subnet, classes=(evil, "'''", "\\"), architecture=architecture)
    written = write_timm_model(bundle, evil, "squash", tmp_path / "out")
    assert timm.create_model(written.name).pretrained_cfg["label_names"] == bundle.classes


def test_a_student_of_another_space_is_refused(tiny: Architecture, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="its Conv has no counterpart in timm's mobile networks"):
        write_timm_model(trained(tiny), "photos", "squash", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_channels_that_timm_rounds_are_refused(subnet: Bundle, tmp_path: Path) -> None:
    layers = list(subnet.architecture.layers)
    index = next(i for i, layer in enumerate(layers) if getattr(layer, "hidden", None))
    layers[index] = replace(layers[index], hidden=20)
    bundle = trained(replace(subnet.architecture, layers=tuple(layers)))
    with pytest.raises(UserError, match=rf"layer {index}: hidden is 20, timm makes 24$"):
        write_timm_model(bundle, "photos", "squash", tmp_path / "out")
    assert not (tmp_path / "out").exists() or not any((tmp_path / "out").iterdir())


def test_other_logits_are_not_written(
    subnet: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real: Callable = timm_export.timm_weights

    def spoiled(*arguments):
        weights = real(*arguments)
        weights["classifier.bias"] = weights["classifier.bias"] + 1e-3
        return weights

    good = write_timm_model(subnet, "photos", "squash", tmp_path / "out")
    before = load_file(good.folder / "model.safetensors")
    monkeypatch.setattr(timm_export, "timm_weights", spoiled)
    with pytest.raises(ModelError, match=r"differ by 0.001; nothing was written"):
        write_timm_model(subnet, "photos", "squash", tmp_path / "out")
    after = load_file(good.folder / "model.safetensors")
    assert torch.equal(before["classifier.bias"], after["classifier.bias"])


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ("cifar10-small", "minnow_cifar10_small_0123abcd"),
        ("", "minnow_0123abcd"),
        ("Fotos (ä)", "minnow_fotos_0123abcd"),
    ],
)
def test_names_are_ones_that_timm_takes(data: str, expected: str) -> None:
    assert model_name(data, "0123abcd4567ef89") == expected
