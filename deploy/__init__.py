"""Deployment of a trained model: prediction, export to ONNX, latency.

>>> import deploy
>>> classifier = deploy.load("runs/latest")         # doctest: +SKIP
>>> classifier.predict("photo.jpg")[0].label        # doctest: +SKIP
'glass'
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from deploy.classifier import Classifier

__all__ = ["load"]


def load(path: str | Path) -> Classifier:
    """Load the trained model in ``path``.

    Args:
        path: a bundle, or a run directory with a ``student/``.

    Raises:
        UserError: ``path`` holds no trained model, or its files are damaged; names the file.
    """
    from deploy.classifier import Classifier  # imports torch, which ``import deploy`` does not
    from training.bundle import load_bundle

    return Classifier(load_bundle(path))
