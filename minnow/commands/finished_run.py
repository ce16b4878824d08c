"""The console's view of a trained network: its scores, its ONNX file, its latency."""

from __future__ import annotations

import json
from pathlib import Path

from core.errors import UserError
from deploy.architecture_latency import measure_architecture
from minnow.console import next_step, output, say
from minnow.format import costs_text
from minnow.progress import ConsoleListener
from minnow.run_directory import choose, holds_search
from minnow.student import Student
from minnow.tables import scores_table
from training.bundle import WEIGHTS_FILE

_CLASSES = 10  # of a model file that names no number


def evaluate(run: Path, spec: str | None, split: str, *, as_json: bool) -> None:
    """Print the scores of a trained network on a split."""
    student = Student(run)
    if spec is None:
        say(f"no --data given: using {student.config.data.spec}, which it was trained on")
    with ConsoleListener() as listener:
        evaluation = student.evaluate(spec, split=split, listener=listener)
    if as_json:
        output().print_json(json.dumps(evaluation.to_dict()))
    else:
        scores = evaluation.scores
        output().print(scores_table(scores.to_dict(), evaluation.classes, scores.images))


def export(run: Path, out: Path | None) -> None:
    """Write the ONNX file of a trained network, and print what it takes and gives."""
    student = Student(run)
    exported = student.export("onnx", out)
    side = student.bundle.architecture.resolution
    say(
        f"{exported.path}: {exported.size_bytes / 1e3:,.0f} kB; input images (N, 3, {side}, "
        f"{side}) float32 RGB in 0..1, output logits (N, {len(student.classes)}); ONNX Runtime "
        f"and PyTorch differ by at most {exported.max_abs_difference:.1g} "
        f"on {exported.checked_images} images"
    )
    next_step(["latency", run])


def latency(given: Path, num_classes: int | None, side: int | None) -> None:
    """Print the latency of a trained network, or of the untrained one of a model file or search.

    Args:
        given: a run, a student or a model file.
        num_classes: of a model file; ``None``: what it says, else 10.
        side: of a model file's input, pixels; ``None``: what it says.

    Raises:
        UserError: there is none, its resolution is not known, or is another than ``side``.
    """
    if not given.is_file() and (num_classes is not None or side is not None):
        raise UserError(f"--classes and --image-size are for a model YAML, and {given} is none")
    if given.is_file() or (holds_search(given) and not (given / "student" / WEIGHTS_FILE).exists()):
        chosen = choose(given).at(side)
        architecture = chosen.architecture
        if side not in (None, architecture.resolution):
            raise UserError(f"{given} is for {architecture.resolution} px; leave out --image-size")
        num_classes = num_classes or chosen.classes or _CLASSES
        measured = measure_architecture(architecture, num_classes)
        what = f"{chosen.name}, {num_classes} classes"
    else:
        student = Student(given)
        architecture, num_classes = student.bundle.architecture, len(student.classes)
        measured = student.latency()
        what = str(student.path)
    output().print(
        f"{what}: {measured.median_ms:.3f} ms median, {measured.iqr_ms:.3f} ms IQR, n={measured.n} "
        f"(batch 1, {architecture.resolution} px, {measured.runtime}); "
        f"{costs_text(architecture, num_classes)}",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )
