"""Judge a proposal by weights that it inherits, without training it or after a short training."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from core.config import SearchConfig
from distill.inherited_weights import InheritedWeights
from minnow.data_set import reopen_data
from minnow.evaluators.train import TrainEvaluator, measured, memory_shortage
from nas.trial import Proposal
from training.batches import Outputs
from training.data.images import ImageSet
from training.fit import Progress


@dataclass(frozen=True)
class InheritEvaluator:
    """Evaluator of subnets: cuts a proposal out of the base, recalibrates batch norm, validates.

    ``config.train.epochs`` of distillation follow, if that is not 0.

    Attributes:
        data: the images.
        config: of the search.
        inheritance: the whole network.
        outputs: the teacher's, for trainings.
        report: callback for every training step.
        timed: whether the latency is measured here, too.
    """

    data: ImageSet
    config: SearchConfig
    inheritance: InheritedWeights
    outputs: Outputs | None = None
    report: Callable[[Progress], None] | None = None
    timed: bool = True

    def __call__(self, proposal: Proposal) -> Mapping[str, float]:
        """Return the metrics of :meth:`TrainEvaluator.__call__`.

        ``train_seconds`` is the time of cutting and validating; ``images_per_second`` is missing without
        training.

        Raises:
            EvaluationError: a training diverged, or the memory does not suffice.
        """
        if self.config.train.epochs:
            trainer = TrainEvaluator(
                self.data,
                self.config,
                self.outputs,
                report=self.report,
                inheritance=self.inheritance,
                timed=self.timed,
            )
            return trainer(proposal)
        started = time.perf_counter()
        with memory_shortage(proposal):
            network, val = self.inheritance.evaluate_subnet(
                proposal.architecture, self.data, self.config.augment
            )
            took = {"train_seconds": time.perf_counter() - started}
            sees = self.inheritance.normalization
            metrics = measured(proposal, self.data, self.config, network, val, sees, timed=self.timed)
            return {**metrics, **took}


@dataclass(frozen=True)
class InheritEvaluatorFactory:
    """Factory of the same evaluator for worker processes, which open the images from the cache.

    Attributes:
        config: of the search.
        unlabelled: ``(n,)`` of the images without labels to learn from.
        inheritance: the whole network.
        outputs: the teacher's, already filled.
    """

    config: SearchConfig
    unlabelled: np.ndarray
    inheritance: InheritedWeights
    outputs: Outputs | None = None

    def __call__(self) -> InheritEvaluator:
        """Return the evaluator, without progress reports."""
        data = reopen_data(self.config.data, self.unlabelled)
        return InheritEvaluator(data, self.config, self.inheritance, self.outputs)
