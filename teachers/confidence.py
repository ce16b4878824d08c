"""The images without labels that a teacher is sure enough of to teach them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from teachers.ensemble import EnsembleOutputs, TeacherEnsemble
from teachers.finetune import Teacher
from teachers.output_cache import cache_outputs
from training.augment import PLAIN
from training.data.images import ImageSet

#: Share of the validation images that the teacher is less sure of than of any image that it teaches.
UNSURE = 0.05


def leave_out_unsure(
    ensemble: TeacherEnsemble,
    data: ImageSet,
    report: Callable[[Teacher], Callable[[int, int], None]],
) -> ImageSet:
    """Return the data without the unlabelled images that the teacher is unsure of.

    The teacher's confidence in an image is its largest class probability (Hendrycks & Gimpel 2017, "A
    baseline for detecting misclassified and out-of-distribution examples in neural networks"). Left out
    are images below its 5 % quantile on validation: of images of the same kind, every twentieth.

    Args:
        ensemble: the teacher; its outputs on the images as they are stored are cached.
        data: with unlabelled images.
        report: returns, for a member, what is called with (images done, images in all).

    Raises:
        UserError: the disk is full.
    """
    val = data.splits["val"]
    asked = data.resplit(train=val)  # validation images in the place of those that are learned from
    outputs = [cache_outputs(m, asked, PLAIN, 1, report=report(m)) for m in ensemble.members]
    mean = EnsembleOutputs(tuple(outputs), ensemble.weights)
    least = np.quantile(_confidence(mean, val), UNSURE)
    return data.resplit(unlabelled=data.unlabelled[_confidence(mean, data.unlabelled) >= least])


def _confidence(outputs: EnsembleOutputs, indices: np.ndarray) -> np.ndarray:
    """Return the largest class probability of each of the images, ``(n,)``."""
    logits = outputs(0, indices, _unasked).logits
    largest: np.ndarray = logits.softmax(dim=1).amax(dim=1).numpy()
    return largest


def _unasked() -> torch.Tensor:
    raise ValueError("cached outputs look at no image")
