"""A student for a target: converted, scored on its real runtime, and a folder that is ready to copy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from core.files import json_text, staged_files, write_bytes, write_text
from deploy.device.link import ModelError
from deploy.quantization import Attempt, QuantizationTask, best_quantization
from deploy.target_scores import logits_of_model, network_inputs, spread
from deploy.targets import connect, load
from deploy.targets.base import ConvertedModel, Int8Target
from deploy.targets.conversion import convert
from deploy.targets.session import Latency, Session
from training.bootstrap import Comparison, compare_f1
from training.bundle import Bundle
from training.data.fitting import Fit
from training.data.images import ImageSet
from training.evaluate import logits_of

VERSION = 1  # of inference.json
REPORT = "report.json"
#: Files of a folder beside those of the model and the report.
COMMON_FILES = ("inference.json", "labels.txt", "predict.py", "runner.py")
_CALIBRATION = 256  # training images
_AGREEMENT = 0.995  # share of labels that a float model gives as PyTorch does
_PROGRAM = Path(__file__).with_name("shipped_predict.py")
_COLLAPSED = 0.1  # of macro-F1 on validation, that a quantised model may not lose


@dataclass(frozen=True)
class RuntimeScores:
    """A model on its runtime, compared with PyTorch on the test images.

    Attributes:
        agreement: share of the images whose label is PyTorch's.
        difference: largest of the logits, to PyTorch's.
        f1: macro-F1 of PyTorch (a) and of the runtime (b).
    """

    agreement: float
    difference: float
    f1: Comparison

    def check_float(self, target: str) -> None:
        """Check that a float model has the labels of PyTorch.

        Raises:
            ModelError: too many differ.
        """
        if self.agreement < _AGREEMENT:
            raise ModelError(
                f"{target}: its labels are PyTorch's for {self.agreement:.1%} of the test images, and "
                f"{_AGREEMENT:.1%} are needed; nothing was written"
            )


@dataclass(frozen=True)
class Shipped:
    """A student that was converted for a target, and what it does there.

    Attributes:
        folder: that was written.
        target: the text of the target.
        files: sizes in bytes, by name, of the model.
        agreement: share of the test images whose label is PyTorch's.
        difference: largest of the logits, to PyTorch's.
        scores: macro-F1 on the test images, of PyTorch (a) and of the runtime (b).
        latency: of the model.
        float_latency: of the float model in turns with it; ``None`` for a float target.
        attempts: quantisations that were tried, none for a float target.
        chosen: of them.
    """

    folder: Path
    target: str
    files: dict[str, int]
    agreement: float
    difference: float
    scores: Comparison
    latency: Latency
    float_latency: Latency | None = None
    attempts: Sequence[Attempt] = ()
    chosen: Attempt | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, as stored in ``report.json`` of the folder."""
        difference = self.scores.difference
        return {
            "target": self.target,
            "files": self.files,
            "agreement": self.agreement,
            "largest_difference_of_logits": self.difference,
            "test_f1": self.scores.b.value,
            "test_f1_float": self.scores.a.value,
            "test_f1_difference": [difference.value, difference.low, difference.high],
            "latency_ms": self.latency.to_dict(),
            "latency_ms_float": None if self.float_latency is None else self.float_latency.to_dict(),
            "quantization": None if self.chosen is None else str(self.chosen.quantization),
            "tried": [
                {"quantization": str(one.quantization), "val_f1": one.f1, "error": one.error}
                for one in self.attempts
            ],
        }


def ship(
    bundle: Bundle,
    data: ImageSet,
    fit: Fit,
    target: str,
    folder: Path,
    report: Callable[[int, int], None] | None = None,
) -> Shipped:
    """Convert a student for a target, score it there on the test images, and write a folder.

    The folder holds the model, ``inference.json`` (all that a program needs to know), ``labels.txt``,
    ``predict.py`` with ``runner.py`` (they need the runtime, Pillow and numpy only), and ``report.json``.

    Args:
        bundle: the student.
        data: the images of its training.
        fit: of images to squares.
        target: as for :func:`deploy.targets.parse`.
        folder: to write; an earlier one is replaced.
        report: called with (quantisations tried, those to try).

    Raises:
        UserError: no such target, something is missing for it, or the folder cannot be written.
        ModelError: the model cannot be converted, or differs from PyTorch's; nothing is written.
    """
    session = connect(target)
    side = bundle.architecture.resolution
    attempts: Sequence[Attempt] = ()
    chosen = whole = None
    if isinstance(session.target, Int8Target):
        chosen, attempts = _quantized(bundle, data, session, report)
        model = chosen.model
        if session.target.float_target is not None:
            same = load(session.target.float_target)()
            whole = convert(same, bundle.model, side, normalization=bundle.normalization)
    else:
        model = convert(session.target, bundle.model, side, normalization=bundle.normalization)
    scores = score_on_runtime(bundle, data, session, model, target)
    if chosen is None:
        scores.check_float(target)
    latency, *others = session.measure([model] if whole is None else [model, whole])
    shipped = Shipped(
        folder,
        target,
        {name: len(content) for name, content in model.files.items()},
        scores.agreement,
        scores.difference,
        scores.f1,
        latency,
        others[0] if others else None,
        attempts,
        chosen,
    )
    _write(shipped, model, session, bundle, data.size, fit)
    return shipped


def score_on_runtime(
    bundle: Bundle, data: ImageSet, session: Session, model: ConvertedModel, target: str
) -> RuntimeScores:
    """Run a converted student on the test images, and compare it with PyTorch.

    Args:
        bundle: the student.
        data: the images of its training.
        session: runs the model.
        model: the converted student.
        target: name for messages.

    Raises:
        ModelError: the runtime cannot run the model, or its logits are no finite numbers.
    """
    side, test = bundle.architecture.resolution, data.splits["test"]
    expected = _logits(bundle, data, test)
    logits = logits_of_model(session, model, data, test, side)
    if not np.isfinite(logits).all():
        raise ModelError(f"{target}: the model returns no finite numbers; nothing was written")
    labels, given = expected.argmax(axis=1), logits.argmax(axis=1)
    return RuntimeScores(
        float(np.mean(labels == given)),
        float(np.abs(logits - expected).max()),
        compare_f1(data.labels[test], labels[None], given[None], data.num_classes),
    )


def _quantized(
    bundle: Bundle,
    data: ImageSet,
    session: Session,
    report: Callable[[int, int], None] | None,
) -> tuple[Attempt, Sequence[Attempt]]:
    """Return the best quantisation by validation, and all that were tried.

    Raises:
        ModelError: the best one has lost what the network knew.
    """
    val, side = data.splits["val"], bundle.architecture.resolution
    expected = _logits(bundle, data, val)
    task = QuantizationTask(
        session,
        bundle.model,
        side,
        bundle.normalization,
        network_inputs(data, spread(data.splits["train"], _CALIBRATION), side),
        network_inputs(data, val, side),
        data.labels[val],
        expected,
    )
    chosen, attempts = best_quantization(task, report)
    if task.float_f1 - chosen.f1 > _COLLAPSED:
        raise ModelError(
            f"the best of {len(attempts)} quantisations has a validation F1 of {chosen.f1:.3f}, the "
            f"float network of {task.float_f1:.3f}; nothing was written"
        )
    return chosen, attempts


def inference_spec(
    bundle: Bundle, size: int, fit: Fit, *, layout: str = "NCHW", files: Sequence[str] = ()
) -> dict[str, Any]:
    """Return ``inference.json``: all that a program needs to know to use the model.

    Args:
        bundle: the student.
        size: side of the stored images, pixels.
        fit: of images to squares.
        layout: of the model's input.
        files: of the model, the first to open.
    """
    side = bundle.architecture.resolution
    shape = [1, 3, side, side] if layout == "NCHW" else [1, side, side, 3]
    return {
        "version": VERSION,
        "files": list(files),
        "input": {
            "name": "images",
            "shape": shape,
            "side": side,
            "layout": layout,
            "type": "float32",
            "colour": "RGB",
            "range": [0, 1],
        },
        "output": {"name": "logits", "shape": [1, len(bundle.classes)]},
        "labels": list(bundle.classes),
        "resize": {
            "fit": fit,
            "stored": size,
            "rule": "turn upright by EXIF, fit to a square of 'stored' pixels (bicubic, antialiased), "
            "then resize to 'side' (bilinear, antialiased), 8 bits each",
        },
    }


def _write(
    shipped: Shipped, model: ConvertedModel, session: Session, bundle: Bundle, size: int, fit: Fit
) -> None:
    spec = inference_spec(bundle, size, fit, layout=session.target.layout, files=[*model.files])
    with staged_files(shipped.folder, last=REPORT) as staged:
        for name, content in model.files.items():
            write_bytes(staged / name, content)
        write_text(staged / "inference.json", json_text(spec))
        write_text(staged / "labels.txt", "\n".join(bundle.classes) + "\n")
        write_bytes(staged / "predict.py", _PROGRAM.read_bytes())
        write_bytes(staged / "runner.py", session.target.runner.read_bytes())
        write_text(staged / REPORT, json_text(shipped.to_dict()))


def _logits(bundle: Bundle, data: ImageSet, indices: np.ndarray) -> np.ndarray:
    side = bundle.architecture.resolution
    return logits_of(bundle.model, data, indices, resolution=side, normalization=bundle.normalization)
