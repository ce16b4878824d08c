"""How a proposed network gets its metrics."""

from nas.evaluators.train import TrainEvaluator, TrainEvaluatorFactory

__all__ = ["TrainEvaluator", "TrainEvaluatorFactory"]
