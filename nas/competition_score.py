"""The score of a waste-sorting competition: one number for speed and quality.

Source: "Model Optimization", boostcamp AI Tech (stages.ai, 2021), six classes of TACO crops. A model is
scored by the time that it takes for all test images and by its macro-F1, against a reference model
with an F1 of 0.7 in 86.3 s. Less is better, and every model as good as the reference is at 1.5.
"""

from __future__ import annotations

import math

from core.config import ScoreConfig

_STEEPNESS = 20.0  # of the sigmoid, per unit of F1


def competition_score(f1: float, total_seconds: float, reference: ScoreConfig) -> float:
    """Return ``time / time_ref + sigmoid(20 (f1_ref - f1))``; less is better.

    Args:
        f1: macro-F1, 0..1.
        total_seconds: time to classify all images, seconds.
        reference: F1 and time of the reference model, for as many images.
    """
    sigmoid = 1.0 / (1.0 + math.exp(-_STEEPNESS * (reference.f1 - f1)))
    return total_seconds / reference.time + sigmoid
