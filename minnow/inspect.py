"""``evaluate``, ``export`` and ``latency``: what a trained network does and costs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from core.errors import UserError
from deploy.latency import measure_module
from deploy.latency_cache import measure_architecture
from deploy.onnx_export import export_onnx
from minnow import runs
from minnow.console import next_step, output, say
from minnow.data_file import images_of
from minnow.data_run import open_data
from minnow.format import costs_text
from minnow.picking import BEST, find_student
from minnow.tables import scores_table
from training.bundle import WEIGHTS, load_bundle
from training.evaluate import logits_of, score

_CLASSES = 10  # of a model file that does not say


def evaluate(run: Path, spec: str | None, split: str, *, as_json: bool) -> dict[str, Any]:
    """Score a trained network on a split, of its own data set or another with the same classes."""
    bundle = load_bundle(run)
    config = runs.student_config(bundle.path)
    if spec is None:
        say(f"no --data given: using {config.data.spec}, which it was trained on")
    place = config.data.spec if spec is None else images_of(spec)
    data = open_data(config.data.model_copy(update={"spec": place}))
    if data.classes != bundle.classes:
        raise UserError(
            f"{bundle.path} knows the classes {', '.join(bundle.classes)}, "
            f"the data set has {', '.join(data.classes)}"
        )
    if split == "all":
        indices = np.arange(len(data.images))
    elif split in data.splits:
        indices = data.splits[split]
    else:
        raise UserError(f"--split {split!r}: give train, val, test or all")
    logits = logits_of(
        bundle.model,
        data,
        indices,
        resolution=bundle.architecture.resolution,
        normalization=bundle.normalization,
    )
    scores = score(logits, data, indices)
    result = {"data": data.name, "split": split, "n": len(indices), **scores.to_dict()}
    if as_json:
        output().print_json(json.dumps({**result, "classes": list(bundle.classes)}))
    else:
        output().print(scores_table(result, bundle.classes, len(indices)))
    return result


def export(run: Path, out: Path | None) -> Path:
    """Write the ONNX file of a trained network, checked against PyTorch on random images."""
    bundle = load_bundle(run)
    resolution = bundle.architecture.resolution
    path = out or bundle.path / "model.onnx"
    exported = export_onnx(
        bundle.model,
        path,
        resolution=resolution,
        normalization=bundle.normalization,
        classes=bundle.classes,
        input_channels=bundle.architecture.input_channels,
    )
    say(
        f"{exported.path}: {exported.size_bytes / 1e3:,.0f} kB; input images (N, 3, {resolution}, "
        f"{resolution}) float32 RGB in 0..1, output logits (N, {len(bundle.classes)}); ONNX Runtime "
        f"and PyTorch differ by at most {exported.max_abs_difference:.1g} "
        f"on {exported.checked_images} images"
    )
    next_step(["latency", run])
    return path


def latency(given: Path, num_classes: int | None, side: int | None) -> None:
    """Time a trained network, or the untrained network of a model file or search.

    Args:
        given: a run, a student or a model file.
        num_classes: of a model file; ``None``: what it says, else 10.
        side: of a model file's input, pixels; ``None``: what it says.

    Raises:
        UserError: there is none, its resolution is not known, or is another than ``side``.
    """
    if not given.is_file() and (num_classes is not None or side is not None):
        raise UserError(f"--classes and --image-size are for a model YAML, and {given} is none")
    if given.is_file() or (
        (given / runs.SUMMARY).exists() and not (given / "student" / WEIGHTS).exists()
    ):
        chosen = find_student(str(given), BEST).at(side)
        architecture = chosen.architecture
        if side not in (None, architecture.resolution):
            raise UserError(f"{given} is for {architecture.resolution} px; leave out --image-size")
        if chosen.run is not None:
            num_classes = len(runs.read_summary(chosen.run).classes)
        num_classes = num_classes or chosen.classes or _CLASSES
        measured = measure_architecture(architecture, num_classes)
        what = f"{chosen.name}, {num_classes} classes"
    else:
        bundle = load_bundle(given)
        architecture, num_classes = bundle.architecture, len(bundle.classes)
        measured = measure_module(bundle.model, architecture.resolution)
        what = str(bundle.path)
    output().print(
        f"{what}: {measured.median_ms:.3f} ms median, {measured.iqr_ms:.3f} ms IQR, n={measured.n} "
        f"(batch 1, {architecture.resolution} px, {measured.runtime}); "
        f"{costs_text(architecture, num_classes)}",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )
