"""What a training leaves: the student's bundle, with everything that was measured of it."""

from __future__ import annotations

import math
import platform
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from core.config import StudentConfig
from distill.inherited_weights import Inheritance, normalization_of
from distill.prepared_teacher import Taught
from nas.architecture import Architecture
from nas.cost import cost
from training.balance import log_priors, subtract_from_bias, tune_tau
from training.bootstrap import f1_interval
from training.bundle import save_bundle
from training.data.images import ImageSet
from training.evaluate import evaluate, logits_of, score
from training.fit import Fitted
from training.metrics import Metrics
from training.predictions import PREDICTIONS, pixels_digest, predictions_csv
from training.preprocess import Normalization

#: Measures networks with the sides of their inputs; a latency of each as ``metrics.json`` holds it.
Timer = Callable[[Sequence[tuple[torch.nn.Module, int]]], Sequence[Mapping[str, Any]]]

_PACKAGES = ("minnow", "torch", "torchvision", "timm", "numpy", "scikit-learn")


def finish(
    fitted: Fitted,
    architecture: Architecture,
    data: ImageSet,
    config: StudentConfig,
    out: Path,
    taught: Taught | None,
    identity: str,
    latency: Timer | None,
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
    members = () if taught is None else taught.teacher.members
    networks = [(model, architecture.resolution), *((each.model, each.resolution) for each in members)]
    own, *theirs = [{} for _ in networks] if latency is None else latency(networks)
    metrics: dict[str, Any] = {
        "test": _scores(score(logits, data, images)),
        "val": val.to_dict(),
        "teacher": None if taught is None else _teacher_metrics(taught, data, theirs),
        "params": total.params,
        "macs": total.macs,
        "latency_ms": dict(own),
        "balance": balance,
        "inherited": None if inheritance is None else inheritance.base.base,
        "seconds": fitted.seconds,
        "epoch": fitted.kept_epoch,
        "history": fitted.history,
        "rollbacks": fitted.rollbacks,
        "stopped_early": fitted.stopped_early,
        "seed": config.seed,
        "identity": identity,
        "test_pixels": pixels_digest(data, images),
        "test_files": data.test_digest,
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


def _teacher_metrics(
    taught: Taught, data: ImageSet, latencies: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
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
        "latency_ms": _one_after_the_other(latencies),
    }


def _one_after_the_other(latencies: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The latency of several teachers together."""
    together = dict(latencies[0])
    if len(latencies) > 1 and together:
        together["median"] = sum(each["median"] for each in latencies)
        together["iqr"] = math.hypot(*(each["iqr"] for each in latencies))
    return together


def _record(config: StudentConfig, data: ImageSet, normalization: Normalization) -> dict[str, Any]:
    """What the bundle's ``config.yaml`` says: the settings, with what the data decided filled in."""
    record = config.model_dump(mode="json")
    record["data"]["size"] = data.size
    record["normalization"] = {"mean": list(normalization.mean), "std": list(normalization.std)}
    return record
