"""How a proposed network gets its metrics."""

from nas.evaluators.checkpoints import Checkpoints
from nas.evaluators.train import TrainEvaluator, TrainEvaluatorFactory

__all__ = ["Checkpoints", "TrainEvaluator", "TrainEvaluatorFactory"]
