"""How a proposed network gets its metrics."""

from nas.evaluators.checkpoints import Checkpoints
from nas.evaluators.inherit import InheritEvaluator, InheritEvaluatorFactory
from nas.evaluators.train import TrainEvaluator, TrainEvaluatorFactory

__all__ = [
    "Checkpoints",
    "InheritEvaluator",
    "InheritEvaluatorFactory",
    "TrainEvaluator",
    "TrainEvaluatorFactory",
]
