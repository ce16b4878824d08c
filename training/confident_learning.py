"""Label errors by confident learning, from probabilities of networks that did not train on the image.

Northcutt, Jiang and Chuang 2021, "Confident Learning: Estimating Uncertainty in Dataset Labels",
https://arxiv.org/abs/1911.00068, as the library ``cleanlab`` computes it.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from core.errors import UserError


def find_label_errors(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Return the indices ``(m,)`` of images whose label may be wrong, the clearest first.

    An image counts for a class where its probability is at least the mean of that class's own images
    (section 3.1). The counts estimate how many images of each class belong to each other class; as many
    are reported ("prune by noise rate", section 3.2), the clearest first: those with the widest margin
    between the probability of another class and that of their own.

    Args:
        labels: ``(n,)`` int64.
        probabilities: ``(n, C)`` out of sample: no network had the image among its training images.

    Raises:
        UserError: ``cleanlab`` is not installed.
    """
    issues = require_cleanlab().find_label_issues
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about classes without images, which a check reports itself
        found: np.ndarray = issues(
            labels, probabilities, return_indices_ranked_by="normalized_margin", n_jobs=1
        )
    return found


def require_cleanlab() -> Any:
    """Return ``cleanlab.filter``.

    Raises:
        UserError: ``cleanlab`` is not installed.
    """
    try:
        import cleanlab.filter
    except ImportError:
        raise UserError("label errors need cleanlab: pip install 'minnow[labels]'") from None
    return cleanlab.filter
