"""The ONNX file has the outputs of PyTorch, takes any batch size, and describes itself."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import nn

from core.errors import UserError
from deploy.onnx_export import export_onnx
from nas.architecture import Architecture, classifier
from nas.layers import AvgPool, Conv, Layer, MaxPool
from training.preprocess import IMAGENET, Normalization, prepare

CLASSES = ("glass", "métal", "paper")
MakeNetwork = Callable[[Architecture, int], nn.Module]


def export(model: nn.Module, path: Path, **changes: object):
    settings = dict(resolution=32, normalization=IMAGENET, classes=CLASSES, **changes)
    return export_onnx(model, path, **settings)


def session(path: Path) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])


def test_same_logits_as_training_gives_for_bytes(network: nn.Module, tmp_path: Path) -> None:
    done = export(network, tmp_path / "model.onnx")
    pixels = torch.randint(0, 256, (5, 3, 32, 32), dtype=torch.uint8)
    with torch.inference_mode():
        expected = network(prepare(pixels, 32, IMAGENET)).numpy()
    images = pixels.numpy().astype(np.float32) / 255
    runtime = session(done.path)
    for n in (1, 2, 5):
        (got,) = runtime.run(["logits"], {"images": images[:n]})
        assert got.shape == (n, 3)
        np.testing.assert_allclose(got, expected[:n], rtol=1e-4, atol=1e-4 * abs(expected).max())
    assert np.ptp(expected, axis=0).max() > 0.01, "the images must not all look alike to the network"


def test_file_says_what_it_is(network: nn.Module, tmp_path: Path) -> None:
    path = export(network, tmp_path / "model.onnx", metadata={"licence": "MIT"}).path
    model = onnx.load(path)
    props = {entry.key: entry.value for entry in model.metadata_props}
    assert json.loads(props["classes"]) == list(CLASSES)
    assert props["resolution"] == "32"
    assert json.loads(props["normalization"]) == {
        "mean": list(IMAGENET.mean),
        "std": list(IMAGENET.std),
    }
    assert props["minnow_version"] and props["licence"] == "MIT"
    (image,) = session(path).get_inputs()
    assert (image.name, image.type, image.shape) == ("images", "tensor(float)", ["N", 3, 32, 32])
    (logits,) = session(path).get_outputs()
    assert (logits.name, logits.shape) == ("logits", ["N", 3])
    assert [file.name for file in tmp_path.iterdir()] == ["model.onnx"], "weights lie inside"


def test_batch_norm_is_folded(network: nn.Module, tmp_path: Path) -> None:
    assert any(isinstance(part, nn.BatchNorm2d) for part in network.modules())
    model = onnx.load(export(network, tmp_path / "model.onnx").path)
    kinds = [node.op_type for node in model.graph.node]
    assert "Conv" in kinds and "BatchNormalization" not in kinds


def test_runtime_runs_neither_batch_norm_nor_identity(
    network: nn.Module, tmp_path: Path, as_loaded: Callable[..., onnx.ModelProto]
) -> None:
    path = export(network, tmp_path / "model.onnx").path
    kinds = {node.op_type for node in as_loaded(path.read_bytes()).graph.node}
    assert not kinds & {"BatchNormalization", "Identity", "Constant"}


def test_export_is_silent_and_leaves_the_model_alone(
    network: nn.Module, tmp_path: Path, capfd: pytest.CaptureFixture[str], recwarn: object
) -> None:
    before = copy.deepcopy(network.state_dict())
    network.train()
    export(network, tmp_path / "model.onnx")
    assert network.training
    assert all(torch.equal(value, network.state_dict()[key]) for key, value in before.items())
    assert all(parameter.requires_grad for parameter in network.parameters())
    assert capfd.readouterr() == ("", "")
    assert list(recwarn) == []  # type: ignore[call-overload]


def test_real_images_are_checked_too(network: nn.Module, tmp_path: Path) -> None:
    images = np.linspace(0, 1, 4 * 3 * 32 * 32, dtype=np.float32).reshape(4, 3, 32, 32)
    done = export(network, tmp_path / "model.onnx", images=images)
    assert done.checked_images == 3 + 4
    assert 0 <= done.max_abs_difference < 1e-3
    assert done.size_bytes == done.path.stat().st_size


class Unfaithful(nn.Module):
    """A network whose output depends on the data in a way that tracing does not record."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return torch.full((1, 3), float(images.sum())).expand(len(images), 3) + 0 * images[:, :, 0, 0]


def test_wrong_logits_are_never_written(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="differ from PyTorch"):
        export(Unfaithful(), tmp_path / "model.onnx")
    assert list(tmp_path.iterdir()) == []


def test_classes_and_channels_must_fit(network: nn.Module, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="3 logits, but 2 classes"):
        export_onnx(network, tmp_path / "a", resolution=32, normalization=IMAGENET, classes=("a", "b"))
    with pytest.raises(ValueError, match="3 channels, the input 1"):
        export(network, tmp_path / "a", input_channels=1)


@pytest.mark.parametrize("resolution", [17, 64])
def test_other_resolutions_and_statistics(
    resolution: int, tiny: Architecture, lively: MakeNetwork, tmp_path: Path
) -> None:
    model = lively(replace(tiny, resolution=resolution), 3)
    done = export_onnx(
        model,
        tmp_path / "model.onnx",
        resolution=resolution,
        normalization=Normalization((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
        classes=CLASSES,
    )
    assert session(done.path).get_inputs()[0].shape[2:] == [resolution, resolution]


@pytest.mark.parametrize("opset", [7, 9, 11, 13, 17, 18, 23])
def test_opsets(network: nn.Module, tmp_path: Path, opset: int) -> None:
    done = export(network, tmp_path / "model.onnx", opset=opset)
    model = onnx.load(done.path)
    assert [(each.domain, each.version) for each in model.opset_import] == [("", opset)]
    assert done.opset == opset
    assert done.max_abs_difference < 1e-3 and done.checked_images == 3
    (image,) = session(done.path).get_inputs()
    assert (image.name, image.shape) == ("images", ["N", 3, 32, 32])


def test_the_opset_that_nobody_chose_is_18(network: nn.Module, tmp_path: Path) -> None:
    assert export(network, tmp_path / "model.onnx").opset == 18


@pytest.mark.parametrize("opset", [-1, 0, 6, 24, 10**9])
def test_opsets_that_are_not_there(network: nn.Module, tmp_path: Path, opset: int) -> None:
    with pytest.raises(UserError, match=rf"ONNX opset {opset} is not available; give 7 to 23"):
        export(network, tmp_path / "model.onnx", opset=opset)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("layer", "opset", "words"),
    [
        (Conv(8, 3, activation="CELU"), 11, r"cannot be written .*opset 11: .*'aten::celu'.*version 12"),
        (Conv(8, 3, activation="GELU"), 7, "cannot be written .*opset 7: "),
        (Conv(8, 3, activation="Hardshrink"), 8, "cannot be written .*opset 8: .*Where"),
        (MaxPool(3, 2, 1, 2), 9, "cannot be written .*opset 9: .*max_pool2d, dilation$"),
        (AvgPool(3, 2, 1, True, False), 7, "ONNX Runtime cannot compute .*opset 7: "),
    ],
)
def test_what_an_opset_lacks_is_named(
    lively: MakeNetwork,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    layer: Layer,
    opset: int,
    words: str,
) -> None:
    network = lively(classifier(32, (Conv(8, 3, 2), layer)), 3)
    with pytest.raises(UserError, match=words) as error:
        export(network, tmp_path / "model.onnx", opset=opset)
    assert "\n" not in str(error.value)
    assert list(tmp_path.iterdir()) == []
    assert capfd.readouterr() == ("", "")
    assert export(network, tmp_path / "model.onnx").opset == 18
