"""The bundle of a trained student, with everything that was measured on it."""

from __future__ import annotations

import math
import platform
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import torch

from core.config import Refit, StudentConfig
from distill.inherited_weights import InheritedWeights, input_normalization
from nas.architecture import Architecture
from nas.cost import cost
from teachers.ensemble import PreparedTeacher
from training.balance import log_priors, subtract_from_bias, tune_tau
from training.bootstrap import f1_interval
from training.bundle import save_bundle
from training.data.images import ImageSet
from training.data.split import SPLITS
from training.evaluate import evaluate, logits_of, score_logits
from training.fit import Fitted
from training.metrics import Metrics
from training.predictions import PREDICTIONS, pixels_digest, predictions_csv
from training.preprocess import Normalization

#: Measures networks, each with the side of its input; returns the ``latency_ms`` of each, as saved.
Timer = Callable[[Sequence[tuple[torch.nn.Module, int]]], Sequence[Mapping[str, Any]]]

_PACKAGES = ("minnow", "torch", "torchvision", "timm", "numpy", "scikit-learn")


def networks_in_turn(
    model: torch.nn.Module, architecture: Architecture, teacher: PreparedTeacher | None
) -> list[tuple[torch.nn.Module, int]]:
    """Return a student and its teachers with the sides of their inputs, as a :data:`Timer` takes them."""
    members = () if teacher is None else teacher.ensemble.members
    return [
        (model, architecture.resolution),
        *((member.model, member.resolution) for member in members),
    ]


def write_student(
    fitted: Fitted,
    architecture: Architecture,
    data: ImageSet,
    config: StudentConfig,
    out: Path,
    teacher: PreparedTeacher | None,
    identity: str,
    latency: Timer | None,
    inherited: InheritedWeights | None,
    earlier: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """Measure the trained student, write its bundle, and return the content of ``metrics.json``."""
    model, val, tau = fitted.model.to("cpu"), fitted.val, config.balance.loss_tau
    normalization = input_normalization(inherited)
    view: dict[str, Any] = {"resolution": architecture.resolution, "normalization": normalization}
    if config.balance.mode == "post-hoc":
        tau = adjust_post_hoc(model, data, config.balance.tau, view)
        val = evaluate(model, data, "val", **view)
    balance = {"mode": config.balance.mode, "tau": tau}
    images = data.splits["test"]
    logits = logits_of(model, data, images, **view)
    total = cost(architecture, data.num_classes)
    networks = networks_in_turn(model, architecture, teacher)
    own, *of_members = [{} for _ in networks] if latency is None else latency(networks)
    metrics: dict[str, Any] = {
        "test": test_scores(score_logits(logits, data, images)),
        "val": val.to_dict(),
        "teacher": None if teacher is None else _teacher_metrics(teacher, data, of_members),
        "params": total.params,
        "macs": total.macs,
        "latency_ms": dict(own),
        "balance": balance,
        "unlabelled": None if teacher is None else _unlabelled(teacher, data),
        "images": images_by_class(data),
        "inherited": None if inherited is None else inherited.base.base,
        "inherited_source": None if inherited is None else inherited.source,
        "seconds": fitted.seconds,
        "epoch": fitted.kept_epoch,
        "history": fitted.history,
        "rollbacks": fitted.rollbacks,
        "stopped_early": fitted.stopped_early,
        "seed": config.seed,
        "identity": identity,
        "test_pixels": pixels_digest(data, images),
        "test_files": data.test_digest,
        "versions": package_versions(),
    }
    others = {PREDICTIONS: predictions_csv(logits, data, images)}
    if earlier is not None:
        metrics = with_earlier_scores(metrics, earlier, data.refitted)
        others = {} if data.refitted == "all" else others
    save_bundle(
        out,
        model,
        architecture,
        data.classes,
        config={**_settings(config, data, normalization), "balance": balance},
        metrics=metrics,
        others=others,
    )
    return metrics


def with_earlier_scores(
    metrics: Mapping[str, Any], earlier: Mapping[str, Any], refit: Refit | None
) -> dict[str, Any]:
    """Return the metrics of a student with an earlier one's scores on images that it was trained on.

    Args:
        metrics: of the student that was trained on more images.
        earlier: of the student that was not.
        refit: what it was trained on.
    """
    mixed = {**metrics, "history": without_validation(metrics["history"]), "val": earlier["val"]}
    mixed |= {"unlabelled": earlier["unlabelled"], "refit": refit}
    teacher = metrics["teacher"]
    if refit == "all":
        mixed |= {"test": earlier["test"], "teacher": earlier["teacher"]}
        mixed |= {"test_pixels": "", "test_files": ""}  # no other network's scores compare with these
    elif teacher is not None:
        members = [
            {**member, "val_f1": before["val_f1"]}
            for member, before in zip(teacher["members"], earlier["teacher"]["members"], strict=True)
        ]
        mixed["teacher"] = {**teacher, "val_f1": earlier["teacher"]["val_f1"], "members": members}
    return mixed


def without_validation(history: Sequence[Mapping[str, float]]) -> list[dict[str, float]]:
    """Return a history without scores on validation images, where those were trained on."""
    return [{name: value for name, value in epoch.items() if name != "val_f1"} for epoch in history]


def adjust_post_hoc(
    model: torch.nn.Module, data: ImageSet, tau: float | None, view: Mapping[str, Any]
) -> float:
    """Fold the post-hoc adjustment into ``model`` and return its tau, tuned on validation if ``None``.

    The checkpoint keeps the weights as they were trained, so a resumed training adjusts them once.
    """
    prior = log_priors(data)
    if tau is None:
        indices = data.splits["val"]
        logits = logits_of(model, data, indices, **view)
        tau = tune_tau(logits, data.labels[indices], prior)
    subtract_from_bias(model, tau * prior)
    return tau


def _unlabelled(teacher: PreparedTeacher, data: ImageSet) -> dict[str, int] | None:
    """Return the number of images without labels, those left out included; ``None`` without any."""
    images = len(data.unlabelled) + teacher.left_out
    return {"images": images, "left_out": teacher.left_out} if images else None


def images_by_class(data: ImageSet) -> dict[str, Any]:
    """Return the name of a data set, and its labelled images of each class by split."""
    counts = {
        split: np.bincount(data.labels[data.splits[split]], minlength=data.num_classes).tolist()
        for split in SPLITS
    }
    return {"name": data.name, **counts}


def package_versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that a result depends on."""
    versions = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = "not installed"
    return versions


def test_scores(test: Metrics) -> dict[str, Any]:
    """Return test scores with ``f1_interval``, the 95 % interval ``[low, high]`` of ``f1``."""
    interval = f1_interval(test.confusion)
    return {**test.to_dict(), "f1_interval": [interval.low, interval.high]}


def _teacher_metrics(
    teacher: PreparedTeacher, data: ImageSet, latencies: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    ensemble = teacher.ensemble
    return {
        "name": ensemble.name,
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
            for member, weight in zip(ensemble.members, ensemble.weights, strict=True)
        ],
        **test_scores(ensemble.evaluate(data, "test")),
        "val_f1": teacher.val.f1,
        "disagreement": teacher.disagreement,
        "seconds": sum(member.seconds for member in ensemble.members),
        **teacher.costs,
        "latency_ms": _sequential_latency(latencies),
    }


def _sequential_latency(latencies: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the latency of several teachers, one after the other."""
    total = dict(latencies[0])
    if len(latencies) > 1 and total:
        total["median"] = sum(latency["median"] for latency in latencies)
        total["iqr"] = math.hypot(*(latency["iqr"] for latency in latencies))
    return total


def _settings(config: StudentConfig, data: ImageSet, normalization: Normalization) -> dict[str, Any]:
    """Return the settings for ``config.yaml``, with what the data decided filled in."""
    settings = config.model_dump(mode="json")
    settings["data"]["size"] = data.size
    settings["normalization"] = {"mean": list(normalization.mean), "std": list(normalization.std)}
    return settings
