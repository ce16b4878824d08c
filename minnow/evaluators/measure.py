"""Metrics of a network that has its weights."""

from __future__ import annotations

from torch import nn

from core.config import SearchConfig
from deploy.architecture_latency import measure_architecture
from deploy.total_time import total_seconds
from nas.competition_score import competition_score
from nas.cost import cost
from nas.objectives import Objectives
from nas.trial import Proposal
from training.data.images import ImageSet
from training.metrics import Metrics
from training.preprocess import Normalization


def measured(
    proposal: Proposal,
    data: ImageSet,
    config: SearchConfig,
    model: nn.Module,
    val: Metrics,
    normalization: Normalization,
) -> dict[str, float]:
    """Return the metrics of a network that has its weights.

    They are f1, accuracy and balanced_accuracy on validation, params, macs and latency_ms; and
    total_seconds and score where an objective or limit names one of them.
    """
    architecture = proposal.architecture
    total = cost(architecture, data.num_classes)
    found: dict[str, float] = {
        "f1": val.f1,
        "accuracy": val.accuracy,
        "balanced_accuracy": val.balanced_accuracy,
        "params": total.params,
        "macs": total.macs,
        "latency_ms": measure_architecture(architecture, data.num_classes).median_ms,
    }
    if Objectives.parse(config.objectives, config.limits).timed:
        images, side = data.splits["val"], architecture.resolution
        seconds = total_seconds(model, data, images, resolution=side, normalization=normalization)
        found |= {"total_seconds": seconds, "score": competition_score(val.f1, seconds, config.score)}
    return found
