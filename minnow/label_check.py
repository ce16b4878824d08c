"""Labels that may be wrong: what networks that did not train on an image say about its label.

Three kinds of evidence, each a class probability: linear heads on the features of a pretrained network,
cross-validated, for every image; the run's teacher and student, for the images that validate and test.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from core.config import FIT_DEFAULTS, DataConfig, TeacherConfig
from core.csv_table import csv_bytes, path_cell
from core.errors import UserError
from distill.student_metrics import StudentMetrics, read_student_metrics
from minnow.data_set import open_data
from minnow.listener import Listener
from minnow.repeated_images import stored_probabilities
from minnow.run_directory import student_config
from minnow.teacher import fine_tuned_teachers
from teachers import find_pretrained
from teachers.base import PretrainedNetwork
from teachers.ensemble import TeacherEnsemble
from teachers.linear_head import frozen_body
from teachers.out_of_sample import cross_validated, pooled_features, probabilities_of
from teachers.spec import parse_spec, split_side
from training.bundle import Bundle, load_bundle
from training.confident_learning import find_label_errors, require_cleanlab
from training.data.images import ImageSet
from training.device import pick_device
from training.evaluate import logits_of
from training.finite import check_logits
from training.predictions import pixels_digest


@dataclass(frozen=True)
class Evidence:
    """Out-of-sample class probabilities from one source.

    Attributes:
        source: ``heads``, ``teacher`` or ``student``.
        images: ``(n,)`` int64, indices of the images that it did not train on.
        probabilities: ``(n, C)`` float64.
    """

    source: str
    images: np.ndarray
    probabilities: np.ndarray


@dataclass(frozen=True)
class LabelError:
    """An image whose label may be wrong.

    Attributes:
        file: its name in the data set.
        split: ``train``, ``val`` or ``test``.
        given: its class.
        suggested: likeliest class.
        confidence: probability of that class, 0..1, the mean over the sources.
        sources: of the evidence.
    """

    file: str
    split: str
    given: str
    suggested: str
    confidence: float
    sources: tuple[str, ...]


@dataclass(frozen=True)
class LabelCheck:
    """The result of :func:`check_labels`.

    Attributes:
        student: directory of the run's student.
        settings: of the data.
        data: the images that were checked.
        errors: images whose label may be wrong, the clearest first.
        evidence: what it was found by.
    """

    student: Path
    settings: DataConfig
    data: ImageSet
    errors: tuple[LabelError, ...]
    evidence: tuple[Evidence, ...]


def check_labels(run: str | Path, listener: Listener | None = None) -> LabelCheck:
    """Find the images of a run whose labels may be wrong.

    Args:
        run: run directory with a trained student, or the student.
        listener: receives progress.

    Raises:
        UserError: there is no student, its images have changed, or it was trained on all of them;
            ``cleanlab`` is not installed.
    """
    require_cleanlab()
    listener = listener or Listener()
    bundle = load_bundle(run)
    config, metrics = student_config(bundle.path), read_student_metrics(bundle.path)
    if metrics.refit is not None:
        raise UserError(
            f"{bundle.path} was trained on its validation images too, and says nothing about their "
            "labels; give the student that was trained before"
        )
    settings = config.data.model_copy(update={"unlabelled": None})
    data = open_data(settings, listener)
    check_unchanged_images(data, bundle.path, metrics)
    evidence = [head_evidence(config.teacher, data, listener)]
    held_out = np.sort(np.concatenate([data.splits["val"], data.splits["test"]]))
    if config.teacher is not None:
        members = fine_tuned_teachers(config.teacher, data, config.augment, listener)
        weights = tuple(weight for _, weight in parse_spec(config.teacher.spec))
        logits = TeacherEnsemble(tuple(members), weights).logits(data, held_out)
        evidence.append(Evidence("teacher", held_out, probabilities_of(logits)))
    evidence.append(_student(bundle, data))
    return LabelCheck(bundle.path, settings, data, label_errors(data, evidence), tuple(evidence))


def check_unchanged_images(data: ImageSet, student: Path, metrics: StudentMetrics) -> None:
    """Refuse images that are others than those of a training.

    Raises:
        UserError: the test images differ.
    """
    if pixels_digest(data, data.splits["test"]) != metrics.test_pixels:
        raise UserError(
            f"{data.spec} has other images than when {student} was trained; restore them, or train again"
        )


def head_evidence(teacher: TeacherConfig | None, data: ImageSet, listener: Listener) -> Evidence:
    """Return what cross-validated heads on a pretrained network say about all images.

    Args:
        teacher: its pretrained weights are used, if there are any; else those of the usual teacher.
        data: the images, without unlabelled ones.
        listener: receives progress.

    Raises:
        UserError: weights that cannot be read or downloaded; the disk is full.
    """
    pretrained, resolution = _pretrained(teacher, data)
    body = frozen_body(pretrained, resolution, pick_device())
    name = pretrained.name
    features = pooled_features(body, data, partial(listener.count, f"features of {name}"))
    probabilities = cross_validated(features, data.labels, report=partial(listener.count, "heads"))
    listener.note(f"label errors: heads on the features of {name}, which has not seen the labels")
    return Evidence("heads", np.arange(len(data.images)), probabilities)


def label_errors(data: ImageSet, evidence: Sequence[Evidence]) -> tuple[LabelError, ...]:
    """Return the images whose labels the evidence contradicts, the clearest first.

    Args:
        data: the images.
        evidence: of which the mean is taken; images without any are left out.
    """
    images, probabilities = mean_evidence(evidence)
    split_of = {int(index): part for part, indices in data.splits.items() for index in indices}
    errors = []
    for position in find_label_errors(data.labels[images], probabilities):
        image, suggested = int(images[position]), int(probabilities[position].argmax())
        errors.append(
            LabelError(
                file=data.files[image],
                split=split_of.get(image, ""),
                given=data.classes[data.labels[image]],
                suggested=data.classes[suggested],
                confidence=float(probabilities[position, suggested]),
                sources=tuple(source.source for source in evidence if image in source.images),
            )
        )
    return tuple(errors)


def mean_evidence(evidence: Sequence[Evidence]) -> tuple[np.ndarray, np.ndarray]:
    """Return the images ``(n,)`` that have evidence, and its mean over the sources, ``(n, C)``."""
    images = np.unique(np.concatenate([source.images for source in evidence]))
    total = np.zeros((len(images), evidence[0].probabilities.shape[1]))
    for source in evidence:
        total[np.searchsorted(images, source.images)] += source.probabilities
    return images, total / total.sum(axis=1, keepdims=True)


def errors_csv(errors: Sequence[LabelError]) -> bytes:
    """Return a table of the errors: file, split, given, suggested, confidence, sources."""
    rows: list[list[object]] = [["file", "split", "given", "suggested", "confidence", "sources"]]
    rows += [
        [
            path_cell(error.file),
            error.split,
            error.given,
            error.suggested,
            f"{error.confidence:.4f}",
            " ".join(error.sources),
        ]
        for error in errors
    ]
    return csv_bytes(rows)


def _student(bundle: Bundle, data: ImageSet) -> Evidence:
    """Return what the student says about the images that it validated and was tested on.

    Raises:
        UserError: its stored predictions are missing, damaged, or of other images.
    """
    val, test = data.splits["val"], data.splits["test"]
    logits = logits_of(
        bundle.model,
        data,
        val,
        resolution=bundle.architecture.resolution,
        normalization=bundle.normalization,
    )
    check_logits(logits, bundle.path)
    probabilities = [probabilities_of(logits), stored_probabilities(bundle.path, data)]
    return Evidence("student", np.concatenate([val, test]), np.concatenate(probabilities))


def _pretrained(teacher: TeacherConfig | None, data: ImageSet) -> tuple[PretrainedNetwork, int]:
    """Return the first teacher not trained on these classes, else the usual one, and its side."""
    specs = [] if teacher is None else [spec for spec, _ in parse_spec(teacher.spec)]
    for spec in specs:
        name, side = split_side(spec)
        pretrained, given = find_pretrained(name), side or (teacher and teacher.resolution)
        if pretrained.classes is None:
            break
    else:
        pretrained, given = find_pretrained(FIT_DEFAULTS["teacher.spec"]), None
    resolution = given or pretrained.default_resolution(data.size)
    pretrained.take_resolution(resolution)
    return pretrained, resolution
