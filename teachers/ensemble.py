"""Several teachers as one: the weighted mean of what they say."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import torch
from torch.nn.functional import normalize

from core.errors import UserError
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
        members: one or more.
        weights: of each; they sum to 1.
    """

    members: tuple[Teacher, ...]
    weights: tuple[float, ...]

    @property
    def name(self) -> str:
        """As the user may write it."""
        if len(self.members) == 1:
            return self.members[0].name
        pairs = zip(self.members, self.weights, strict=True)
        return ",".join(f"{member.name}*{weight:g}" for member, weight in pairs)

    @property
    def digest(self) -> str:
        """Of all weights."""
        if len(self.members) == 1:
            return self.members[0].digest
        content = "".join(member.digest for member in self.members) + repr(self.weights)
        return hashlib.sha256(content.encode()).hexdigest()

    def evaluate(self, data: ImageSet, split: str) -> Metrics:
        """Scores on a split."""
        indices = data.splits[split]
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
        return score_logits(sum(weight * each for weight, each in pairs), data, indices)


def parse_spec(spec: str) -> list[tuple[str, float]]:
    """Specs and weights of ``a``, ``a,b`` (equal weights) or ``a*0.7,b*0.3``; the weights sum to 1.

    Raises:
        UserError: malformed, or a weight that is not a positive number.
    """
    found = []
    for part in spec.split(","):
        name, star, text = part.strip().partition("*")
        try:
            weight = float(text) if star else 1.0
        except ValueError:
            weight = math.nan
        if not name or not (math.isfinite(weight) and weight > 0):
            raise UserError(f"--teacher {spec!r}: write several as a,b or a*0.7,b*0.3")
        found.append((name, weight))
    total = sum(weight for _, weight in found)
    return [(name, weight / total) for name, weight in found]


@dataclass(frozen=True)
class EnsembleOutputs:
    """Logits and attention maps are averaged, pooled features put side by side.

    Logits are averaged after centring, which is the geometric mean of the probabilities (Hinton et al.
    2015, section 3), so that teachers with another offset count alike.

    Attributes:
        members: outputs of each teacher.
        weights: of each; they sum to 1.
    """

    members: tuple[Outputs, ...]
    weights: tuple[float, ...]

    def __call__(self, view: int, indices: np.ndarray, look: Look) -> Signals:
        """What they say together."""
        said = [member(view, indices, look) for member in self.members]
        attention = [each.attention for each in said if each.attention is not None]
        pooled = [each.pooled for each in said if each.pooled is not None]
        return Signals(
            logits=self._mean([_centred(each.logits) for each in said]),
            pooled=torch.cat(pooled, dim=1) if pooled else None,
            attention=self._mean(_deepest(attention)) if attention else None,
        )

    def _mean(self, values: Sequence[torch.Tensor]) -> torch.Tensor:
        weighted = [weight * value for weight, value in zip(self.weights, values, strict=True)]
        return torch.stack(weighted).sum(dim=0)


def _centred(logits: Any) -> Any:
    """``(B, C)`` of torch or NumPy, with mean 0 in every row."""
    return logits - logits.mean(1)[:, None]


def _deepest(maps: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    """The levels that all have, each normalised to unit length, as teachers differ in scale."""
    levels = min(each.shape[1] for each in maps)
    return [
        normalize(each[:, -levels:].flatten(2), dim=2).reshape(each[:, -levels:].shape) for each in maps
    ]


def disagreement(members: Sequence[StoredOutputs], indices: np.ndarray, view: int = 0) -> float | None:
    """Share of images, 0..1, that two teachers put in different classes; the mean over all pairs.

    Args:
        members: of one there is no disagreement, ``None``.
        indices: ``(n,)`` of training images.
        view: that they were seen under.
    """
    if len(members) < 2:
        return None
    classes = [member.rows(view, "logits")[indices].argmax(axis=1) for member in members]
    return float(np.mean([np.mean(a != b) for a, b in combinations(classes, 2)]))
