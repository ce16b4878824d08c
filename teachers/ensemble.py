"""Several teachers as one, and teachers with the outputs that a training needs."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.functional import normalize
from torch.utils.flop_counter import FlopCounterMode

from teachers.finetune import Teacher
from teachers.output_cache import StoredOutputs
from training.batches import Look, Outputs
from training.data.images import ImageSet
from training.evaluate import logits_of, score_logits
from training.metrics import Metrics
from training.signals import Signals


@dataclass(frozen=True)
class TeacherEnsemble:
    """One teacher, or several whose logits are averaged.

    Attributes:
        members: one or more teachers.
        weights: one per member; they sum to 1.
    """

    members: tuple[Teacher, ...]
    weights: tuple[float, ...]

    @property
    def name(self) -> str:
        """Spec of the ensemble, as :func:`teachers.spec.parse_spec` reads it."""
        if len(self.members) == 1:
            return self.members[0].name
        pairs = zip(self.members, self.weights, strict=True)
        return ",".join(f"{member.name}*{weight:g}" for member, weight in pairs)

    @property
    def digest(self) -> str:
        """Hexadecimal hash of the weights of all members."""
        if len(self.members) == 1:
            return self.members[0].digest
        content = "".join(member.digest for member in self.members) + repr(self.weights)
        return hashlib.sha256(content.encode()).hexdigest()

    def evaluate(self, data: ImageSet, split: str) -> Metrics:
        """Return the scores on a split."""
        indices = data.splits[split]
        return score_logits(self.logits(data, indices), data, indices)

    def logits(self, data: ImageSet, indices: np.ndarray) -> np.ndarray:
        """Return the weighted mean of the members' centred logits ``(n, C)`` of stored images."""
        logits = [
            logits_of(
                member.model,
                data,
                indices,
                resolution=member.resolution,
                normalization=member.normalization,
            )
            for member in self.members
        ]
        pairs = zip(self.weights, map(_centred, logits), strict=True)
        mean: np.ndarray = sum(weight * centred for weight, centred in pairs)
        return mean


@dataclass(frozen=True)
class EnsembleOutputs:
    """Outputs of an ensemble: mean logits and attention maps, concatenated pooled features.

    The mean of the centred logits is the geometric mean of the probabilities (Hinton et al. 2015, section
    3). Centring makes teachers with different offsets comparable.

    Attributes:
        members: outputs of each teacher.
        weights: one per member; they sum to 1.
    """

    members: tuple[Outputs, ...]
    weights: tuple[float, ...]

    def __call__(self, view: int, indices: np.ndarray, look: Look) -> Signals:
        """Return the combined signals."""
        outputs = [member(view, indices, look) for member in self.members]
        attention = [signals.attention for signals in outputs if signals.attention is not None]
        pooled = [signals.pooled for signals in outputs if signals.pooled is not None]
        return Signals(
            logits=self._mean([_centred(signals.logits) for signals in outputs]),
            pooled=torch.cat(pooled, dim=1) if pooled else None,
            attention=self._mean(_common_levels(attention)) if attention else None,
        )

    def _mean(self, values: Sequence[torch.Tensor]) -> torch.Tensor:
        weighted = [weight * value for weight, value in zip(self.weights, values, strict=True)]
        return torch.stack(weighted).sum(dim=0)


def in_memory(outputs: Outputs, views: int) -> Outputs:
    """Return outputs that hold their first views, for machines without the files.

    Raises:
        FileNotFoundError: a view was never cached, or is damaged.
    """
    if isinstance(outputs, EnsembleOutputs):
        return replace(outputs, members=tuple(in_memory(member, views) for member in outputs.members))
    return outputs.held(views) if isinstance(outputs, StoredOutputs) else outputs


def _centred(logits: Any) -> Any:
    """Return ``(B, C)`` of torch or NumPy with mean 0 in every row."""
    return logits - logits.mean(1)[:, None]


def _common_levels(maps: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    """Return the deepest levels that all maps have, of unit length, since teachers differ in scale."""
    levels = min(attention.shape[1] for attention in maps)
    deepest = [attention[:, -levels:] for attention in maps]
    return [normalize(level.flatten(2), dim=2).reshape(level.shape) for level in deepest]


def disagreement(members: Sequence[StoredOutputs], indices: np.ndarray, view: int = 0) -> float | None:
    """Return the share of images, 0..1, that two teachers classify differently; the mean over all pairs.

    Args:
        members: outputs of each teacher; a single one gives ``None``.
        indices: ``(n,)`` of training images.
        view: of the images.
    """
    if len(members) < 2:
        return None
    classes = [member.rows(view, "logits")[indices].argmax(axis=1) for member in members]
    return float(np.mean([np.mean(a != b) for a, b in combinations(classes, 2)]))


@dataclass(frozen=True)
class PreparedTeacher:
    """A fine-tuned teacher with its outputs for a training.

    Attributes:
        ensemble: one network or several, frozen.
        val: scores on validation.
        outputs: signals for every view of the recipe.
        costs: ``params`` and ``macs`` of all networks together.
        disagreement: share of training images, 0..1, that two of several teachers classify differently.
        left_out: number of images without labels that it is too unsure of to teach them.
    """

    ensemble: TeacherEnsemble
    val: Metrics
    outputs: Outputs
    costs: Mapping[str, int]
    disagreement: float | None = None
    left_out: int = 0


def count_macs(model: nn.Module, resolution: int, *, input_channels: int = 3) -> int:
    """Return the multiply-adds of convolutions and matrix products for one image.

    Args:
        model: any network.
        resolution: side of its input, pixels.
        input_channels: channels of its input.
    """
    device = next(model.parameters()).device
    image = torch.zeros(1, input_channels, resolution, resolution, device=device)
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), counter:
        copy.deepcopy(model).eval()(image)
    return counter.get_total_flops() // 2  # torch counts a multiply-add as two operations
