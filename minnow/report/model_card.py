"""The model card of an export, in the format of the Hugging Face hub."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from deploy.shipping import inference_spec
from distill.student_metrics import StudentMetrics, read_student_metrics
from minnow.format import interval_text, latency_text, metric_text
from minnow.report.card_head import CardSubject, card_data
from minnow.report.card_sections import (
    UNKNOWN,
    Section,
    data_section,
    licence_section,
    limits_of_use,
    training_section,
)
from minnow.report.rendering import render_markdown

if TYPE_CHECKING:
    from minnow.student import Student

_TEMPLATE = "model_card.md.jinja"
_PREDICT = """from predict import SPEC, pixels
from runner import open_model
run = open_model({name: open(name, "rb").read() for name in SPEC["files"]}, 1)
print(SPEC["labels"][run(pixels("photo.jpg")).argmax()])"""
_ONNX = """import numpy as np, onnxruntime
from PIL import Image, ImageOps
photo = ImageOps.exif_transpose(Image.open("photo.jpg")).convert("RGB")
stored = {fitted}
image = np.asarray(stored.resize(({side}, {side}), Image.Resampling.BILINEAR), np.float32) / 255
model = onnxruntime.InferenceSession("model.onnx")
logits = model.run(None, {{"images": image.transpose(2, 0, 1)[None]}})[0]
print(open("labels.txt", encoding="utf-8").read().splitlines()[logits.argmax()])"""
_FITTED = {
    "squash": "photo.resize(({stored}, {stored}), Image.Resampling.BICUBIC, reducing_gap=3.0)",
    "crop": "ImageOps.fit(photo, ({stored}, {stored}))",
    "pad": "ImageOps.pad(photo, ({stored}, {stored}), color=(128, 128, 128))",
}
_TIMM = """import timm, timm_model
from PIL import Image
model = timm.create_model("{name}", checkpoint_path="model.safetensors").eval()
transform = timm.data.create_transform(**timm.data.resolve_model_data_config(model))
label = model(transform(Image.open("photo.jpg").convert("RGB"))[None]).argmax().item()
print(open("labels.txt", encoding="utf-8").read().splitlines()[label])"""
_MINNOW = """import minnow
student = minnow.load("RUN")
print(student.predict("photo.jpg")[0].label)"""


class _Step(NamedTuple):
    text: str
    language: str
    code: str


def model_card(student: Student, subject: CardSubject) -> str:
    """Return the card: a YAML head for the hub, and Markdown for people.

    Raises:
        UserError: a file of the student or of its search is missing or damaged.
    """
    from huggingface_hub import ModelCard

    metrics, config, classes = read_student_metrics(student.path), student.config, student.classes
    name = UNKNOWN if metrics.images is None else metrics.images.name
    body = render_markdown(
        _TEMPLATE,
        title=f"{name}: image classifier for {subject.name}",
        lead=_lead(student, metrics),
        steps=_steps(student, subject),
        sections=[
            _input_section(student, subject),
            _scores_section(metrics, subject),
            data_section(metrics, config, classes),
            _costs_section(student, metrics, subject),
            training_section(metrics, config, student.path),
            licence_section(metrics, config, subject.licence),
            Section("Files", ["file", "kB"], [[n, f"{s / 1e3:,.1f}"] for n, s in subject.files.items()]),
        ],
        limits=limits_of_use(metrics, classes),
    )
    head = card_data(name, metrics, subject).to_yaml(line_break="\n")
    card = f"---\n{head}\n---\n{body}"
    ModelCard(card)  # reads it back
    return card


def _lead(student: Student, metrics: StudentMetrics) -> str:
    classes = ", ".join(student.classes[:20]) + (" ..." if len(student.classes) > 20 else "")
    taught = "" if metrics.teacher is None else f", distilled from {metrics.teacher.name}"
    return (
        f"A small image classifier for {len(student.classes)} classes ({classes}), trained with "
        f"Minnow{taught}."
    )


def _steps(student: Student, subject: CardSubject) -> list[_Step]:
    side = student.bundle.architecture.resolution
    if subject.timm_name is not None:
        text = "With timm, in the folder of these files (timm's resizing differs a little from Minnow's):"
        steps = [_Step(text, "python", _TIMM.format(name=subject.timm_name))]
    elif subject.shipped is None:
        of_training = student.classifier
        code = _ONNX.format(fitted=_FITTED[of_training.fit].format(stored=of_training.size), side=side)
        steps = [_Step("With ONNX Runtime, numpy and Pillow:", "python", code)]
    else:
        steps = [
            _Step("In the folder of these files:", "sh", "python3 predict.py photo.jpg"),
            _Step("The same in Python:", "python", _PREDICT),
        ]
    text = "With Minnow and the run directory RUN, which these files were exported from:"
    return [*steps, _Step(text, "python", _MINNOW)]


def _input_section(student: Student, subject: CardSubject) -> Section:
    bundle = student.bundle
    spec = inference_spec(bundle, student.classifier.size, student.classifier.fit)
    side, resize = spec["input"]["side"], spec["resize"]
    mean, std = ([f"{v:g}" for v in vs] for vs in (bundle.normalization.mean, bundle.normalization.std))
    values = f"(x - mean) / std of x in 0..1, mean {', '.join(mean)}, std {', '.join(std)}"
    if subject.timm_name is None:
        values = "0..1; the normalisation is a part of the model"
    rows = [
        ["image", f"{side} x {side} pixels, RGB, float32"],
        ["values", values],
        [
            "preprocessing",
            f"{resize['rule']}; fit {resize['fit']}, stored {resize['stored']}, side {side}",
        ],
        ["output", f"{len(student.classes)} logits, in the order of labels.txt"],
    ]
    return Section("Input and output", ["", ""], rows)


def _scores_section(metrics: StudentMetrics, subject: CardSubject) -> Section:
    test, shipped = metrics.test, subject.shipped
    rows = [
        [
            "PyTorch, float32",
            f"{test.f1:.3f}",
            interval_text(*test.f1_interval),
            f"{test.accuracy:.3f}",
            f"{test.balanced_accuracy:.3f}",
        ]
    ]
    if metrics.teacher is not None:
        teacher = metrics.teacher
        score = [f"{teacher.f1:.3f}", interval_text(*teacher.f1_interval)]
        rows.append(["teacher", *score, f"{teacher.accuracy:.3f}", f"{teacher.balanced_accuracy:.3f}"])
    text = "On the test images, which nothing was chosen on."
    if shipped is not None:
        own, whole, difference = shipped.scores.b, shipped.scores.a, shipped.scores.difference
        mark = "" if metrics.refit != "all" else ", not held out"
        rows.insert(
            0, [f"{subject.name}{mark}", f"{own.value:.3f}", interval_text(own.low, own.high), "-", "-"]
        )
        where = "" if subject.scored_on is None else f" on {subject.scored_on}"
        text += (
            f" The files here, on their runtime, have a macro-F1 of {own.value:.3f}{where}; the float "
            f"network in PyTorch has {whole.value:.3f} (difference {difference.value:+.3f}, 95 % "
            f"interval {difference.low:+.3f} to {difference.high:+.3f}); {shipped.agreement:.1%} of the "
            "labels are the same."
        )
        if shipped.chosen is not None:
            text += f" Quantisation: {shipped.chosen.quantization}."
    heads = ["", "macro-F1", "95 % interval", "accuracy", "balanced accuracy"]
    return Section("Scores", heads, rows, text)


def _costs_section(student: Student, metrics: StudentMetrics, subject: CardSubject) -> Section:
    rows = [
        ["parameters", metric_text("params", metrics.params)],
        ["multiply-adds of an image", metric_text("macs", metrics.macs)],
    ]
    shipped = subject.shipped
    if shipped is not None:
        size, latency = sum(shipped.files.values()), shipped.latency
        rows += [
            ["model files", f"{size / 1e3:,.0f} kB"],
            ["latency, median (IQR)", latency_text(latency.median_ms, latency.iqr_ms, latency.n)],
            ["measured", f"one image, {latency.n} runs; {latency.runtime}; {subject.machine or UNKNOWN}"],
        ]
        if shipped.float_latency is not None:
            rows.append(["float network, in turns with it", f"{shipped.float_latency.median_ms:.2f} ms"])
    else:
        rows += [["latency of these files", f"{UNKNOWN}: not measured at this export"]]
    return Section("Size and speed", ["", ""], rows)
