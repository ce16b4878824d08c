"""Students on targets: what is chosen, what is refused, and the folder as a device uses it."""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import deploy.targets
from core.plugins import file_of
from deploy import shipping
from deploy.classifier import Classifier
from deploy.device.link import ModelError
from deploy.quantization import Attempt, QuantizationTask, best_quantization
from deploy.shipping import Shipped, ship
from deploy.target_scores import logits_on, network_inputs, spread
from deploy.targets import connect
from deploy.targets.base import ConvertedModel, Quantization
from deploy.targets.conversion import convert
from training.bundle import Bundle, load_bundle
from training.data.fitting import square
from training.data.images import DataOptions, ImageSet, open_images
from training.evaluate import logits_of


@pytest.fixture
def bundle(bundle_dir: Path) -> Bundle:
    return load_bundle(bundle_dir)


@pytest.fixture
def data(photos: Path, tmp_path: Path, bundle: Bundle) -> ImageSet:
    """The photos at 40 px, each in all three splits; the labels are the network's own."""
    images = open_images(str(photos), DataOptions(size=40, fit="squash"), cache=tmp_path / "decoded")
    every = np.arange(len(images.images))
    images = images.resplit(train=every, val=every, test=every)
    head = [part for part in bundle.model.modules() if isinstance(part, nn.Linear)][-1]
    with torch.no_grad():  # or all images would be of one class
        head.bias -= torch.from_numpy(pytorch_logits(bundle, images).mean(axis=0))
    return replace(images, labels=pytorch_logits(bundle, images).argmax(axis=1))


def pytorch_logits(bundle: Bundle, data: ImageSet) -> np.ndarray:
    side = bundle.architecture.resolution
    every = np.arange(len(data.images))
    return logits_of(bundle.model, data, every, resolution=side, normalization=bundle.normalization)


@pytest.fixture
def forgiving(monkeypatch: pytest.MonkeyPatch) -> None:
    """Write quantised networks that lose much, as one with random weights does."""
    monkeypatch.setattr(shipping, "_COLLAPSED", 1.0)


def shipped(bundle: Bundle, data: ImageSet, folder: Path, target: str) -> tuple[Shipped, dict[str, Any]]:
    result = ship(bundle, data, "squash", target, folder)
    return result, json.loads((folder / "report.json").read_text())


def test_a_float_model_is_the_network(bundle: Bundle, data: ImageSet, tmp_path: Path) -> None:
    result, report = shipped(bundle, data, tmp_path / "out", "onnxruntime")
    assert result.agreement == 1.0
    assert result.difference < 1e-3 * np.abs(pytorch_logits(bundle, data)).max()
    assert result.scores.a.value == result.scores.b.value == 1.0
    assert report["test_f1"] == 1.0 and report["quantization"] is None and report["tried"] == []
    assert {*report["files"]} == {"model.onnx"}
    assert report["files"]["model.onnx"] == (tmp_path / "out" / "model.onnx").stat().st_size


@pytest.mark.system
@pytest.mark.usefixtures("forgiving")
def test_a_quantised_model_is_compared_with_float(bundle: Bundle, data: ImageSet, tmp_path: Path) -> None:
    result, report = shipped(bundle, data, tmp_path / "out", "onnxruntime-int8")
    assert result.chosen is not None and result.chosen in result.attempts
    assert result.chosen.f1 == max(attempt.f1 for attempt in result.attempts)
    assert len(result.attempts) >= len(connect("onnxruntime-int8").target.recipes)
    assert result.float_latency is not None and result.float_latency.median_ms > 0
    assert "int8" in report["latency_ms"]["runtime"]
    low, high = report["test_f1_difference"][1:]
    assert low <= report["test_f1"] - report["test_f1_float"] <= high


@pytest.mark.usefixtures("forgiving")
@pytest.mark.parametrize("target", ["onnxruntime", "onnxruntime-int8"])
def test_the_folder_classifies_files_of_any_size(
    bundle: Bundle, data: ImageSet, photos: Path, tmp_path: Path, target: str
) -> None:
    folder = tmp_path / "copied"
    result, _ = shipped(bundle, data, tmp_path / "out", target)
    (tmp_path / "out").rename(folder)
    files = sorted(photos.rglob("*.*"))
    done = subprocess.run(
        [sys.executable, str(folder / "predict.py"), *map(str, files)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=True,
    )
    expected = Classifier(bundle).predict(files)
    lines = done.stdout.splitlines()
    assert len(lines) == len(files)
    for line, file, prediction in zip(lines, files, expected, strict=True):
        name, _, rest = line.partition(": ")
        label, probability = rest.rsplit(" ", 1)
        assert name == str(file)
        if target == "onnxruntime":
            assert label == prediction.label
            assert float(probability) == pytest.approx(prediction.probability, abs=0.02)
        else:
            assert label in bundle.classes and 0 < float(probability) <= 1
    assert result.folder != folder


def odd_images(folder: Path) -> None:
    """Write images of kinds that are no plain RGB."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (50, 70, 3), dtype=np.uint8)
    plain, grey = Image.fromarray(pixels), pixels[..., 0]
    Image.fromarray(grey.astype(np.uint16) * 257).save(folder / "deep.png")
    Image.fromarray(grey.astype(np.float32) / 255).save(folder / "float.tiff")
    Image.fromarray(grey.astype(np.int32) * 1_000 - 500).save(folder / "wide.tiff")
    plain.quantize(8).save(folder / "palette.png", transparency=0)
    plain.save(folder / "key.png", transparency=tuple(map(int, pixels[0, 0])))
    Image.merge("LA", [Image.fromarray(grey), Image.fromarray(pixels[..., 1])]).save(folder / "la.png")
    plain.convert("CMYK").save(folder / "cmyk.jpg")
    for turn in (3, 6):
        exif = Image.Exif()
        exif[0x0112] = turn
        plain.save(folder / f"turned{turn}.jpg", exif=exif)
        plain.save(folder / f"turned{turn}.tiff", exif=exif)
        Image.fromarray(grey.astype(np.uint16) * 257).save(folder / f"turned{turn}deep.png", exif=exif)
        plain.quantize(8).save(folder / f"turned{turn}palette.png", transparency=0, exif=exif)


@pytest.mark.parametrize("fit", ["squash", "crop", "pad"])
def test_the_program_sees_what_the_training_saw(tmp_path: Path, fit: str) -> None:
    spec = {"resize": {"stored": 24, "fit": fit}, "input": {"side": 16, "layout": "NHWC"}}
    (tmp_path / "inference.json").write_text(json.dumps(spec))
    program = shutil.copy(
        Path(shipping.__file__).with_name("shipped_predict.py"), tmp_path / "predict.py"
    )
    loaded = importlib.util.spec_from_file_location("shipped_program", program)
    module = importlib.util.module_from_spec(loaded)
    loaded.loader.exec_module(module)
    (tmp_path / "odd").mkdir()
    odd_images(tmp_path / "odd")
    for path in sorted((tmp_path / "odd").iterdir()):
        stored = Image.fromarray(square(Image.open(path), 24, fit))
        expected = np.asarray(stored.resize((16, 16), Image.Resampling.BILINEAR), np.float32) / 255
        np.testing.assert_allclose(
            module.pixels(str(path))[0], expected, atol=2.5 / 255, err_msg=path.name
        )


def test_many_images_are_classified_in_parts(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    session = connect("onnxruntime")
    model = convert(session.target, bundle.model, 32, normalization=bundle.normalization)
    images = np.random.default_rng(0).random((130, 3, 32, 32), dtype=np.float32)
    whole, sizes, request = session.logits(model, images[:64]), [], session._link.request

    def counted(message, parts):
        sizes.append(message["shape"][0])
        return request(message, parts)

    monkeypatch.setattr(session._link, "request", counted)
    together = session.logits(model, images)
    assert sizes == [64, 64, 2] and together.shape == (130, len(bundle.classes))
    np.testing.assert_array_equal(together[:64], whole)


def test_a_target_of_a_file_converts_in_the_other_process(
    bundle: Bundle, tmp_path: Path, own_cache: Path
) -> None:
    (tmp_path / "mine.py").write_text(
        "from deploy.targets.onnx_runtime import OnnxRuntime\n\n\nclass Apart(OnnxRuntime):\n"
        '    """ONNX Runtime, converted apart."""\n\n    apart = True\n'
    )
    target = deploy.targets.load(f"{tmp_path}/mine.py:Apart")()
    assert (
        file_of(type(target)) == tmp_path / "mine.py"
        and file_of(type(connect("onnxruntime").target)) is None
    )
    files = convert(target, bundle.model, 32, normalization=bundle.normalization).files
    here = convert(
        connect("onnxruntime").target, bundle.model, 32, normalization=bundle.normalization
    ).files
    assert files == here


def test_the_description_says_what_a_program_needs(
    bundle: Bundle, data: ImageSet, tmp_path: Path
) -> None:
    shipped(bundle, data, tmp_path / "out", "onnxruntime")
    spec = json.loads((tmp_path / "out" / "inference.json").read_text())
    assert spec["input"]["shape"] == [1, 3, 32, 32] and spec["input"]["layout"] == "NCHW"
    assert spec["labels"] == list(bundle.classes)
    assert (spec["resize"]["fit"], spec["resize"]["stored"]) == ("squash", 40)
    labels = (tmp_path / "out" / "labels.txt").read_text(encoding="utf-8").splitlines()
    assert labels == list(bundle.classes)


def test_an_earlier_folder_is_replaced_and_other_files_stay(
    bundle: Bundle, data: ImageSet, tmp_path: Path
) -> None:
    shipped(bundle, data, tmp_path / "out", "onnxruntime")
    (tmp_path / "out" / "model.onnx").write_bytes(b"old")
    (tmp_path / "out" / "notes.txt").write_text("mine")
    shipped(bundle, data, tmp_path / "out", "onnxruntime")
    assert (tmp_path / "out" / "model.onnx").stat().st_size > 1000
    assert (tmp_path / "out" / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("wrong", ["other labels", "nan"])
def test_a_model_that_differs_is_not_written(
    bundle: Bundle, data: ImageSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wrong: str
) -> None:
    def spoiled(*arguments: Any) -> np.ndarray:
        logits = pytorch_logits(bundle, data)
        return logits * np.nan if wrong == "nan" else -logits

    monkeypatch.setattr(shipping, "logits_of_model", spoiled)
    with pytest.raises(ModelError, match="nothing was written"):
        shipped(bundle, data, tmp_path / "out", "onnxruntime")
    assert not (tmp_path / "out").exists()


class ScriptedTask(QuantizationTask):
    """Quantisations whose F1 and error are made up; the layer ``bad`` costs the F1 unless in float."""

    def attempt(self, quantization: Quantization, *, images: int | None = None) -> Attempt:
        bad = "bad" not in quantization.float_layers
        f1 = 0.7 if bad else 1.0
        error = (0.5 if bad else 0.1) + (0.05 if quantization.narrow else 0.0)
        return Attempt(quantization, f1, error, ConvertedModel({"model": b""}, (1,)))


def test_a_layer_that_hurts_stays_in_float(
    bundle: Bundle, data: ImageSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    session, logits = connect("onnxruntime-int8"), pytorch_logits(bundle, data)
    monkeypatch.setattr(type(session.target), "layers", lambda *_: ("good", "bad", "fine"))
    images = network_inputs(data, np.arange(len(logits)), 32)
    task = ScriptedTask(
        session, bundle.model, 32, bundle.normalization, images, images, data.labels, logits
    )
    best, attempts = best_quantization(task)
    assert best.quantization == Quantization(float_layers=("bad",))
    assert len(attempts) == len(session.target.recipes) + 1
    assert str(best.quantization) == "per channel, minmax, 1 layer in float"


def test_layers_are_named_as_the_quantiser_knows_them(bundle: Bundle, data: ImageSet) -> None:
    session, logits = connect("onnxruntime-int8"), pytorch_logits(bundle, data)
    images = network_inputs(data, np.arange(len(logits)), 32)
    task = QuantizationTask(
        session, bundle.model, 32, bundle.normalization, images, images, data.labels, logits
    )
    layers = session.target.layers(*task.prepared())
    assert (
        len(layers)
        == len({*layers})
        == sum(operation.weights > 0 for operation in bundle.architecture.operations(len(bundle.classes)))
    )
    whole = task.attempt(Quantization(float_layers=layers))
    assert whole.error < 0.8 * task.attempt(Quantization(narrow=True)).error


def test_scores_on_a_target(bundle: Bundle, data: ImageSet) -> None:
    every = np.arange(len(data.images))
    sees = {"resolution": 32, "normalization": bundle.normalization}
    expected = pytorch_logits(bundle, data)
    same = logits_on("onnxruntime", bundle.model, data, every, **sees)
    np.testing.assert_allclose(same, expected, atol=1e-3 * np.abs(expected).max())
    quantised = logits_on("onnxruntime-int8", bundle.model, data, every, **sees)
    assert np.corrcoef(quantised.ravel(), expected.ravel())[0, 1] > 0.8
    assert np.abs(quantised - expected).max() > 1e-3 * np.abs(expected).max()


def test_spread_indices() -> None:
    assert spread(np.arange(10), 3).tolist() == [0, 4, 9]
    assert spread(np.arange(2), 5).tolist() == [0, 1]
