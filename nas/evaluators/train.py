"""Train each proposal for a few epochs and measure it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch

from deploy.latency_cache import measure_architecture
from distill.objective import objective
from nas.config import SearchConfig
from nas.cost import cost
from nas.networks import build
from nas.search import EvaluationError
from nas.trial import Proposal
from training.batches import Batches, Outputs, augmentation_of
from training.device import pick_device
from training.fit import DivergedError, Progress, fit
from training.images import ImageSet, open_images, options_of
from training.preprocess import IMAGENET


@dataclass(frozen=True)
class TrainEvaluator:
    """Trains a proposal from scratch, with the teacher's cached logits where there is a teacher.

    Attributes:
        data: the images.
        config: of the search: recipe, augmentation, loss.
        outputs: the teacher's logits by view.
        report: hears of every training step.
    """

    data: ImageSet
    config: SearchConfig
    outputs: Outputs | None = None
    report: Callable[[Progress], None] | None = None

    def __call__(self, proposal: Proposal) -> Mapping[str, float]:
        """Validation f1, accuracy and balanced_accuracy; params, macs, latency_ms, train_seconds and
        images_per_second.

        Raises:
            EvaluationError: the loss became infinite or NaN.
        """
        train = self.config.train
        if proposal.epochs is not None:
            train = train.model_copy(update={"epochs": proposal.epochs})
        torch.manual_seed(proposal.seed)
        network = build(proposal.architecture, self.data.num_classes)
        batches = Batches(
            data=self.data,
            resolution=proposal.architecture.resolution,
            normalization=IMAGENET,
            augmentation=augmentation_of(self.config.augment, self.data),
            batch_size=train.batch_size,
            views=train.views,
            seed=proposal.seed,
            outputs=self.outputs,
            device=pick_device(),
        )
        loss = objective(self.config.loss, train.label_smoothing, teacher=self.outputs is not None)
        try:
            fitted = fit(network, batches, loss, train, report=self.report)
        except DivergedError as error:
            raise EvaluationError(str(error)) from None
        total = cost(proposal.architecture, self.data.num_classes)
        latency = measure_architecture(proposal.architecture, self.data.num_classes)
        return {
            "f1": fitted.val.f1,
            "accuracy": fitted.val.accuracy,
            "balanced_accuracy": fitted.val.balanced_accuracy,
            "params": total.params,
            "macs": total.macs,
            "latency_ms": latency.median_ms,
            "train_seconds": fitted.seconds,
            "images_per_second": fitted.history[-1]["images_per_second"],
        }


@dataclass(frozen=True)
class TrainEvaluatorFactory:
    """Makes the same evaluator in a worker process, where images are opened from the cache.

    Attributes:
        config: of the search.
        outputs: the teacher's logits, already filled.
    """

    config: SearchConfig
    outputs: Outputs | None = None

    def __call__(self) -> TrainEvaluator:
        """The evaluator, without progress reports."""
        data = open_images(self.config.data.spec, options_of(self.config.data))
        return TrainEvaluator(data, self.config, self.outputs)
