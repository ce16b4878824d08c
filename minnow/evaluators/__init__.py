"""Evaluators: from a proposed network to its metrics."""

from minnow.evaluators.inherited import InheritEvaluator, InheritEvaluatorFactory
from minnow.evaluators.train import Checkpoints, TrainEvaluator, TrainEvaluatorFactory
from minnow.evaluators.work import SearchWork

__all__ = [
    "Checkpoints",
    "InheritEvaluator",
    "InheritEvaluatorFactory",
    "SearchWork",
    "TrainEvaluator",
    "TrainEvaluatorFactory",
]
