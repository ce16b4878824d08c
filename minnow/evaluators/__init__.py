"""Evaluators: from a proposed network to its metrics."""

from minnow.evaluators.inherited import InheritEvaluator, InheritEvaluatorFactory
from minnow.evaluators.train import TrainEvaluator, TrainEvaluatorFactory
from minnow.evaluators.trial_checkpoints import Checkpoints

__all__ = [
    "Checkpoints",
    "InheritEvaluator",
    "InheritEvaluatorFactory",
    "TrainEvaluator",
    "TrainEvaluatorFactory",
]
