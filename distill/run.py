"""Train the chosen student, with or without a teacher, and leave a bundle that stands on its own."""

from __future__ import annotations

import hashlib
import json
import platform
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from distill.objective import objective
from nas.architecture import Architecture
from nas.config import StudentConfig
from nas.cost import cost
from nas.errors import UserError
from nas.networks import build
from teachers.finetune import Teacher
from training.batches import Batches, Outputs, augmentation_of
from training.bundle import save_bundle
from training.device import pick_device
from training.divergence import DivergedError, halve_once
from training.evaluate import evaluate
from training.fit import Progress, fit
from training.images import ImageSet
from training.metrics import Metrics
from training.preprocess import IMAGENET

CHECKPOINT = "checkpoint.pt"
_PACKAGES = ("minnow", "torch", "torchvision", "timm", "numpy", "scikit-learn")


@dataclass(frozen=True)
class Taught:
    """A teacher and its cached logits by view.

    Attributes:
        teacher: frozen.
        outputs: filled for every view of the recipe.
        costs: its ``params``, ``macs`` and ``latency_ms``, for the report.
    """

    teacher: Teacher
    outputs: Outputs
    costs: Mapping[str, Any]


def train_student(
    architecture: Architecture,
    data: ImageSet,
    config: StudentConfig,
    out: Path,
    *,
    taught: Taught | None,
    latency: Callable[[torch.nn.Module], Mapping[str, Any]],
    warn: Callable[[str], None] = warnings.warn,
    report: Callable[[Progress], None] | None = None,
) -> dict[str, Any]:
    """Train, choose the epoch on validation, read the test split once, write the bundle.

    Args:
        architecture: of the student.
        data: the images.
        config: recipe, loss, seed; recorded in the bundle.
        out: the bundle's directory. A checkpoint in it is gone on from, and removed at the end.
        taught: the teacher; ``None`` trains on labels alone.
        latency: measures the trained network, as ``metrics.json`` holds it.
        warn: hears, in one line, of a divergence that the training went back from.
        report: hears of every training step.

    Returns:
        The content of ``metrics.json``.

    Raises:
        UserError: the training diverged twice; the optimiser is unknown; a checkpoint is damaged or
            belongs to another training.
    """
    torch.manual_seed(config.seed)
    network = build(architecture, data.num_classes)
    batches = Batches(
        data=data,
        resolution=architecture.resolution,
        normalization=IMAGENET,
        augmentation=augmentation_of(config.augment, data),
        batch_size=config.train.batch_size,
        views=config.train.views,
        seed=config.seed,
        outputs=None if taught is None else taught.outputs,
        device=pick_device(),
    )
    loss = objective(config.loss, config.train.label_smoothing, teacher=taught is not None)
    try:
        fitted = fit(
            network,
            batches,
            loss,
            config.train,
            checkpoint=out / CHECKPOINT,
            identity=_identity(architecture, data, config, taught),
            on_divergence=halve_once(warn),
            report=report,
        )
    except DivergedError as error:
        raise UserError(f"training stopped: {error}; lower train.learning_rate") from None
    model = fitted.model.to("cpu")
    test = evaluate(model, data, "test", resolution=architecture.resolution, normalization=IMAGENET)
    total = cost(architecture, data.num_classes)
    metrics: dict[str, Any] = {
        "test": test.to_dict(),
        "val": fitted.val.to_dict(),
        "teacher": None if taught is None else _teacher_metrics(taught, data),
        "params": total.params,
        "macs": total.macs,
        "latency_ms": dict(latency(model)),
        "seconds": fitted.seconds,
        "epoch": fitted.best_epoch,
        "history": fitted.history,
        "rollbacks": fitted.rollbacks,
        "stopped_early": fitted.stopped_early,
        "seed": config.seed,
        "versions": versions(),
    }
    save_bundle(
        out,
        model,
        architecture,
        data.classes,
        config=_record(config, data),
        metrics=metrics,
    )
    (out / CHECKPOINT).unlink(missing_ok=True)
    return metrics


def versions() -> dict[str, str]:
    """Python and the packages a result depends on."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


def _teacher_metrics(taught: Taught, data: ImageSet) -> dict[str, Any]:
    teacher = taught.teacher
    test: Metrics = teacher.evaluate(data, "test")
    return {
        "name": teacher.name,
        "source": teacher.source,
        **test.to_dict(),
        "val_f1": teacher.val.f1,
        "resolution": teacher.resolution,
        "seconds": teacher.seconds,
        "rollbacks": list(teacher.rollbacks),
        **taught.costs,
    }


def _record(config: StudentConfig, data: ImageSet) -> dict[str, Any]:
    """What the bundle's ``config.yaml`` says: the settings, with what the data decided filled in."""
    record = config.model_dump(mode="json")
    record["data"]["size"] = data.size
    record["normalization"] = {"mean": list(IMAGENET.mean), "std": list(IMAGENET.std)}
    return record


def _identity(
    architecture: Architecture, data: ImageSet, config: StudentConfig, taught: Taught | None
) -> str:
    content = [
        architecture.key,
        data.digest,
        config.model_dump(mode="json", exclude={"data", "teacher"}),
        None if taught is None else taught.teacher.digest,
    ]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()
