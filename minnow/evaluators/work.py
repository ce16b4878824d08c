"""The work of a search, in the forms that executors need: here, nearby, and on other machines."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from core.config import SearchConfig
from deploy.targets import plugin_name, profile_of
from distill.inherited_weights import InheritedWeights
from minnow.evaluators.inherited import InheritEvaluator, InheritEvaluatorFactory
from minnow.evaluators.train import Checkpoints, TrainEvaluator, TrainEvaluatorFactory, latency_of
from minnow.listener import log_warning
from nas.executors import DistantEvaluator, Work
from nas.search import Evaluator
from nas.trial import Proposal
from teachers.ensemble import in_memory
from training.batches import Outputs
from training.data.images import ImageSet
from training.fit import Progress


@dataclass(frozen=True)
class SearchWork(Work):
    """The evaluation of a search's proposals.

    Latencies are of the target, which this process measures, or a profile predicts. Other machines
    train and validate, on the runtime of the target where it is of int8.

    Attributes:
        data: the images.
        config: of the search, resolved.
        outputs: the teacher's, already filled.
        weights: that proposals are cut out of; ``None``: random ones.
        checkpoints: where trainings that may be continued are kept.
        report: callback for every training step in this process.
    """

    data: ImageSet
    config: SearchConfig
    outputs: Outputs | None = None
    weights: InheritedWeights | None = None
    checkpoints: Checkpoints | None = None
    report: Callable[[Progress], None] | None = None

    def here(self) -> Evaluator:
        """Return the evaluator of this process, which reports its progress."""
        if self.weights is None:
            return TrainEvaluator(self.data, self.config, self.outputs, self.checkpoints, self.report)
        return InheritEvaluator(self.data, self.config, self.weights, self.outputs, self.report)

    def nearby(self) -> Callable[[], Evaluator]:
        """Return a factory for processes of this machine, which open the images from the cache."""
        unlabelled = self.data.unlabelled
        if self.weights is None:
            kept = self.checkpoints and replace(self.checkpoints, warn=log_warning)
            return TrainEvaluatorFactory(self.config, unlabelled, self.outputs, kept)
        return InheritEvaluatorFactory(self.config, unlabelled, self.weights, self.outputs)

    def distant(self) -> Callable[[], DistantEvaluator]:
        """Return a factory that holds the images, the teacher's outputs and the weights."""
        outputs, views = None, self.config.train.shown_views
        if self.outputs is not None and views:
            outputs = in_memory(self.outputs, views)
        target = self.config.target
        if (profile := profile_of(target)) is not None:
            target = profile.record.target
        config = self.config.model_copy(update={"target": plugin_name(target)})
        return _DistantFactory(
            self.data.in_memory(), config, outputs, self.weights, self.checkpoints is not None
        )

    def checkpoint(self, proposal: Proposal) -> bytes | None:
        """Return the checkpoint of the proposal or its parent."""
        return None if self.checkpoints is None else self.checkpoints.packed(proposal)

    def keep(self, proposal: Proposal, checkpoint: bytes) -> None:
        """Keep the checkpoint that came back."""
        if self.checkpoints is not None:
            self.checkpoints.unpack(proposal, checkpoint)

    def completed(self, proposal: Proposal, metrics: Mapping[str, float]) -> Mapping[str, float]:
        """Add the latency on the target.

        Raises:
            EvaluationError: the target cannot convert or run the network.
        """
        return {**metrics, **latency_of(proposal, self.data.num_classes, self.config.target)}


@dataclass(frozen=True)
class _DistantFactory:
    """Factory of the evaluator for a machine that shares nothing with this one."""

    data: ImageSet
    config: SearchConfig
    outputs: Outputs | None
    weights: InheritedWeights | None
    continued: bool

    def __call__(self) -> DistantEvaluator:
        if self.weights is not None:
            inherit = InheritEvaluator(self.data, self.config, self.weights, self.outputs, timed=False)
            return lambda proposal, _: (inherit(proposal), None)
        train = TrainEvaluator(self.data, self.config, self.outputs, timed=False)
        if not self.continued:
            return lambda proposal, _: (train(proposal), None)
        return lambda proposal, checkpoint: _with_checkpoint(train, proposal, checkpoint)


def _with_checkpoint(
    evaluator: TrainEvaluator, proposal: Proposal, checkpoint: bytes | None
) -> tuple[Mapping[str, float], bytes | None]:
    """Evaluate from a checkpoint in a folder that exists meanwhile; return the metrics and the next."""
    with tempfile.TemporaryDirectory(prefix="minnow-") as folder:
        checkpoints = Checkpoints(Path(folder), log_warning)
        if checkpoint is not None:
            checkpoints.unpack(proposal, checkpoint)
        metrics = replace(evaluator, checkpoints=checkpoints)(proposal)
        return metrics, checkpoints.packed(proposal)
