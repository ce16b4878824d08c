"""Post-training quantisation, chosen by validation: several recipes, and layers that stay in float."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import nn

from deploy.onnx_export import NormalizedNetwork
from deploy.targets.base import ConvertedModel, Int8Target, Quantization
from deploy.targets.conversion import convert
from deploy.targets.session import Session
from training.metrics import compute_metrics
from training.preprocess import Normalization

TOLERANCE = 0.005  # of macro-F1 that a quantisation may lose
_KEPT = (1, 2, 4, 8)  # layers that are tried in float, the worst first
_PROBED = 32  # images that one layer's error is estimated on


@dataclass(frozen=True)
class Attempt:
    """A tried quantisation.

    Attributes:
        quantization: its options.
        f1: macro-F1 on the validation images.
        error: root mean square of its logits' differences to the float network's, as a share of theirs.
        model: the converted network.
    """

    quantization: Quantization
    f1: float
    error: float
    model: ConvertedModel

    @property
    def merit(self) -> tuple[float, float]:
        """F1, then a small error: more is better."""
        return round(self.f1, 4), -self.error


@dataclass(frozen=True)
class QuantizationTask:
    """A network to quantise, and what decides between ways to do it.

    Attributes:
        session: connection to the target, of int8.
        network: maps normalised images to logits.
        resolution: side of its input, pixels.
        normalization: of its input.
        calibration: ``(n, 3, r, r)`` float32 in 0..1, of training.
        images: ``(m, 3, r, r)`` float32 in 0..1, of validation.
        labels: ``(m,)`` classes of those.
        logits: ``(m, C)`` of the float network on those.
    """

    session: Session
    network: nn.Module
    resolution: int
    normalization: Normalization
    calibration: np.ndarray
    images: np.ndarray
    labels: np.ndarray
    logits: np.ndarray

    @property
    def float_f1(self) -> float:
        """Macro-F1 of the float network on the validation images."""
        return compute_metrics(self.labels, self.logits.argmax(axis=1), self.logits.shape[1]).f1

    def prepared(self) -> tuple[nn.Module, torch.Tensor]:
        """Return the network with its normalisation, and an example of its input."""
        network = NormalizedNetwork.of(self.network, self.normalization, 3)
        return network, torch.zeros(1, 3, self.resolution, self.resolution)

    def attempt(self, quantization: Quantization, *, images: int | None = None) -> Attempt:
        """Quantise, and score on the first ``images`` of validation."""
        kind = type(self.session.target)
        assert issubclass(kind, Int8Target)
        model = convert(
            kind(quantization),
            self.network,
            self.resolution,
            normalization=self.normalization,
            images=self.calibration[:images],
        )
        logits = self.session.logits(model, self.images[:images])
        expected, labels = self.logits[:images], self.labels[:images]
        f1 = compute_metrics(labels, logits.argmax(axis=1), expected.shape[1]).f1
        error = float(np.sqrt(np.mean((logits - expected) ** 2) / np.mean(expected**2)))
        return Attempt(quantization, f1, error, model)


def best_quantization(
    task: QuantizationTask, report: Callable[[int, int], None] | None = None
) -> tuple[Attempt, Sequence[Attempt]]:
    """Try the target's recipes, and then, where the best of them loses F1, layers in float.

    Those are the layers whose quantisation alone changes the logits most.

    Args:
        task: the network and its images.
        report: called with (quantisations tried, those to try).

    Returns:
        The best attempt by validation, and all of them.

    Raises:
        ModelError: no recipe can be converted and run.
    """
    target = task.session.target
    assert isinstance(target, Int8Target)
    report = report or (lambda done, total: None)
    attempts = []
    for done, recipe in enumerate(target.recipes):
        report(done, len(target.recipes))
        attempts.append(task.attempt(recipe))
    report(len(target.recipes), len(target.recipes))
    best = max(attempts, key=lambda attempt: attempt.merit)
    if task.float_f1 - best.f1 > TOLERANCE and (layers := _worst_layers(task, best.quantization, report)):
        for count in _KEPT:
            kept = replace(best.quantization, float_layers=layers[:count])
            attempts.append(task.attempt(kept))
            if task.float_f1 - attempts[-1].f1 <= TOLERANCE:
                break
        best = max(attempts, key=lambda attempt: attempt.merit)
    return best, attempts


def _worst_layers(
    task: QuantizationTask, quantization: Quantization, report: Callable[[int, int], None]
) -> tuple[str, ...]:
    """Return the layers that can stay in float, those first whose quantisation alone costs most."""
    target = task.session.target
    assert isinstance(target, Int8Target)
    layers = target.layers(*task.prepared())
    errors = {}
    for done, layer in enumerate(layers):
        report(done, len(layers))
        others = tuple(other for other in layers if other != layer)
        errors[layer] = task.attempt(replace(quantization, float_layers=others), images=_PROBED).error
    return tuple(sorted(layers, key=lambda layer: -errors[layer]))
