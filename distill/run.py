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

from distill.inheritance import Inheritance, first_network, normalization_of
from distill.objective import objective
from nas.architecture import Architecture
from nas.config import StudentConfig
from nas.cost import cost
from nas.errors import UserError
from teachers.ensemble import Teachers
from training.balance import log_priors, loss_offsets, subtract_from_bias, tune_tau
from training.batches import Batches, Outputs, augmentation_of
from training.bootstrap import f1_interval
from training.bundle import save_bundle
from training.device import pick_device
from training.divergence import DivergedError, halve_once
from training.evaluate import evaluate, logits_of, score
from training.fit import Fitted, Progress, fit
from training.images import ImageSet
from training.metrics import Metrics
from training.predictions import PREDICTIONS, pixels_digest, predictions_csv
from training.preprocess import Normalization
from training.processes import ALONE, Processes

CHECKPOINT = "checkpoint.pt"
_PACKAGES = ("minnow", "torch", "torchvision", "timm", "numpy", "scikit-learn")


@dataclass(frozen=True)
class Taught:
    """A teacher and what it says.

    Attributes:
        teacher: one network or several, frozen.
        val: its scores on validation.
        outputs: for every view of the recipe.
        costs: its ``params``, ``macs`` and ``latency_ms``, for the report.
        disagreement: share of training images that two of several teachers class differently.
    """

    teacher: Teachers
    val: Metrics
    outputs: Outputs
    costs: Mapping[str, Any]
    disagreement: float | None = None


def train_student(
    architecture: Architecture,
    data: ImageSet,
    config: StudentConfig,
    out: Path,
    *,
    taught: Taught | None,
    latency: Callable[[torch.nn.Module], Mapping[str, Any]],
    inheritance: Inheritance | None = None,
    warn: Callable[[str], None] = warnings.warn,
    report: Callable[[Progress], None] | None = None,
    processes: Processes = ALONE,
) -> dict[str, Any]:
    """Train, choose the epoch on validation, read the test split once, write the bundle.

    A post-hoc adjustment is tuned on the validation split too, after the epoch is chosen: ``val`` is then
    the score of what is shipped, and ``history`` has those of the networks as they were trained.

    Args:
        architecture: of the student.
        data: the images.
        config: recipe, loss, seed; recorded in the bundle.
        out: the bundle's directory. A checkpoint in it is gone on from, and removed at the end.
        taught: the teacher; ``None`` trains on labels alone.
        latency: measures the trained network, as ``metrics.json`` holds it.
        inheritance: what the student is cut out of; ``None`` starts from random weights.
        warn: hears, in one line, of a divergence that the training went back from.
        report: hears of every training step.
        processes: that train together; the main one alone measures and writes.

    Returns:
        The content of ``metrics.json``.

    Raises:
        UserError: the training diverged twice; the optimiser is unknown; a checkpoint is damaged or
            belongs to another training.
    """
    identity = training_identity(architecture, data, config, taught, inheritance)
    torch.manual_seed(config.seed)
    network = first_network(architecture, data.num_classes, inheritance)
    batches = Batches(
        data=data,
        resolution=architecture.resolution,
        normalization=normalization_of(inheritance),
        augmentation=augmentation_of(config.augment, data),
        batch_size=config.train.batch_size,
        views=config.train.walked,
        seed=config.seed,
        outputs=None if taught is None else taught.outputs,
        balanced=config.balance.mode == "sampler",
        device=pick_device(),
        processes=processes,
    )
    offsets = loss_offsets(config.balance, data)
    loss = objective(config.loss, config.train.label_smoothing, network, batches, offsets)
    try:
        fitted = fit(
            network,
            batches,
            loss,
            config.train,
            checkpoint=out / CHECKPOINT,
            identity=identity,
            on_divergence=halve_once(warn),
            report=report,
        )
    except DivergedError as error:
        raise UserError(f"training stopped: {error}; lower train.learning_rate") from None
    return processes.on_main(
        lambda: _finish(fitted, architecture, data, config, out, taught, identity, latency, inheritance)
    )


def _finish(
    fitted: Fitted,
    architecture: Architecture,
    data: ImageSet,
    config: StudentConfig,
    out: Path,
    taught: Taught | None,
    identity: str,
    latency: Callable[[torch.nn.Module], Mapping[str, Any]],
    inheritance: Inheritance | None,
) -> dict[str, Any]:
    """Measure the trained student and write its bundle; returns the content of ``metrics.json``."""
    model, val, tau = fitted.model.to("cpu"), fitted.val, config.balance.loss_tau
    normalization = normalization_of(inheritance)
    sees: dict[str, Any] = {"resolution": architecture.resolution, "normalization": normalization}
    if config.balance.mode == "post-hoc":
        tau = _adjust(model, data, config.balance.tau, sees)
        val = evaluate(model, data, "val", **sees)
    balance = {"mode": config.balance.mode, "tau": tau}
    images = data.splits["test"]
    logits = logits_of(model, data, images, **sees)
    total = cost(architecture, data.num_classes)
    metrics: dict[str, Any] = {
        "test": _scores(score(logits, data, images)),
        "val": val.to_dict(),
        "teacher": None if taught is None else _teacher_metrics(taught, data),
        "params": total.params,
        "macs": total.macs,
        "latency_ms": dict(latency(model)),
        "balance": balance,
        "inherited": None if inheritance is None else inheritance.base.base,
        "seconds": fitted.seconds,
        "epoch": fitted.best_epoch,
        "history": fitted.history,
        "rollbacks": fitted.rollbacks,
        "stopped_early": fitted.stopped_early,
        "seed": config.seed,
        "identity": identity,
        "test_pixels": pixels_digest(data, images),
        "versions": versions(),
    }
    save_bundle(
        out,
        model,
        architecture,
        data.classes,
        config={**_record(config, data, normalization), "balance": balance},
        metrics=metrics,
        others={PREDICTIONS: predictions_csv(logits, data, images)},
    )
    (out / CHECKPOINT).unlink(missing_ok=True)
    return metrics


def _adjust(model: torch.nn.Module, data: ImageSet, tau: float | None, sees: Mapping[str, Any]) -> float:
    """Fold the post-hoc adjustment into ``model``; returns its tau, tuned on validation unless given.

    The checkpoint keeps the weights as they were trained, so a resumed training adjusts them once.
    """
    prior = log_priors(data)
    if tau is None:
        indices = data.splits["val"]
        logits = logits_of(model, data, indices, **sees)
        tau = tune_tau(logits, data.labels[indices], prior)
    subtract_from_bias(model, tau * prior)
    return tau


def versions() -> dict[str, str]:
    """Python and the packages a result depends on."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


def _scores(test: Metrics) -> dict[str, Any]:
    """Test scores with ``f1_interval``, the 95 % interval ``[low, high]`` of ``f1``."""
    interval = f1_interval(test.confusion)
    return {**test.to_dict(), "f1_interval": [interval.low, interval.high]}


def _teacher_metrics(taught: Taught, data: ImageSet) -> dict[str, Any]:
    teacher = taught.teacher
    return {
        "name": teacher.name,
        "members": [
            {
                "name": member.name,
                "weight": weight,
                "source": member.source,
                "val_f1": member.val.f1,
                "resolution": member.resolution,
                "seconds": member.seconds,
                "rollbacks": list(member.rollbacks),
            }
            for member, weight in zip(teacher.members, teacher.weights, strict=True)
        ],
        **_scores(teacher.evaluate(data, "test")),
        "val_f1": taught.val.f1,
        "disagreement": taught.disagreement,
        "seconds": sum(member.seconds for member in teacher.members),
        **taught.costs,
    }


def _record(config: StudentConfig, data: ImageSet, normalization: Normalization) -> dict[str, Any]:
    """What the bundle's ``config.yaml`` says: the settings, with what the data decided filled in."""
    record = config.model_dump(mode="json")
    record["data"]["size"] = data.size
    record["normalization"] = {"mean": list(normalization.mean), "std": list(normalization.std)}
    return record


def training_identity(
    architecture: Architecture,
    data: ImageSet,
    config: StudentConfig,
    taught: Taught | None,
    inheritance: Inheritance | None = None,
) -> str:
    """Digest of all that decides the student: network, images, recipe, seed, teacher, first weights."""
    content = [
        architecture.key,
        data.digest,
        config.model_dump(mode="json", exclude={"data", "teacher"}),
        None if taught is None else taught.teacher.digest,
        None if inheritance is None else inheritance.digest,
    ]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()
