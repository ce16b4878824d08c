"""Shipping a trained model: classify images, export to ONNX, measure latency.

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
    """The trained model in ``path``, ready to use.

    Args:
        path: a bundle, or a run directory with a ``student/``.

    Raises:
        UserError: nothing trained is there, or its files are damaged; names the file.
    """
    from deploy.classifier import Classifier  # torch comes in here, not with ``import deploy``
    from training.bundle import load_bundle

    return Classifier(load_bundle(path))
