"""Train each proposal for a few epochs and measure it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch

from core.config import SearchConfig
from distill.inherited_weights import InheritedWeights, initial_network, input_normalization
from distill.student_loss import student_loss
from minnow.evaluators.measure import measured
from minnow.evaluators.trial_checkpoints import Checkpoints, identity_of
from nas.search import EvaluationError
from nas.trial import Proposal
from training.balance import loss_offsets
from training.batches import Batches, Outputs, augmentation_of
from training.data.images import ImageSet, data_options, open_images
from training.device import pick_device
from training.fit import Fitted, Progress, fit
from training.optimizer import flat_schedule, schedule_by_recipe
from training.step import DivergedError


@dataclass(frozen=True)
class TrainEvaluator:
    """Evaluator that trains a proposal or resumes its parent's training, with a teacher or alone.

    Attributes:
        data: the images.
        config: of the search: recipe, augmentation, balance, loss.
        outputs: the teacher's logits by view.
        checkpoints: where trainings that may be continued are kept; with them the learning rate does not
            depend on the length of a training.
        report: callback for every training step.
        inheritance: what proposals are cut out of; ``None``: random weights.
    """

    data: ImageSet
    config: SearchConfig
    outputs: Outputs | None = None
    checkpoints: Checkpoints | None = None
    report: Callable[[Progress], None] | None = None
    inheritance: InheritedWeights | None = None

    def __call__(self, proposal: Proposal) -> Mapping[str, float]:
        """Train the proposal and return its metrics.

        They are f1, accuracy and balanced_accuracy on validation, params, macs, latency_ms, train_seconds
        and images_per_second; and total_seconds and score where an objective or limit names one of them.

        Raises:
            EvaluationError: the loss, the gradient or the outputs became infinite or NaN.
        """
        fitted = self.trained(proposal)
        sees = input_normalization(self.inheritance)
        found = measured(proposal, self.data, self.config, fitted.model, fitted.val, sees)
        return {
            **found,
            "train_seconds": fitted.seconds,
            "images_per_second": fitted.history[-1]["images_per_second"],
        }

    def trained(self, proposal: Proposal) -> Fitted:
        """Train the proposal.

        Raises:
            EvaluationError: the loss, the gradient or the outputs became infinite or NaN.
        """
        train = self.config.train
        if proposal.epochs is not None:
            train = train.model_copy(update={"epochs": proposal.epochs})
        torch.manual_seed(proposal.seed)
        network = initial_network(proposal.architecture, self.data.num_classes, self.inheritance)
        batches = Batches(
            data=self.data,
            resolution=proposal.architecture.resolution,
            normalization=input_normalization(self.inheritance),
            augmentation=augmentation_of(self.config.augment, self.data),
            batch_size=train.batch_size,
            views=train.view_count,
            seed=proposal.seed,
            outputs=self.outputs,
            balanced=self.config.balance.mode == "sampler",
            device=pick_device(),
        )
        offsets = loss_offsets(self.config.balance, self.data)
        loss = student_loss(self.config.loss, train.label_smoothing, network, batches, offsets)
        checkpoint = None if self.checkpoints is None else self.checkpoints.of(proposal)
        try:
            return fit(
                network,
                batches,
                loss,
                train,
                schedule=schedule_by_recipe if checkpoint is None else flat_schedule,
                checkpoint=checkpoint,
                identity=identity_of(proposal),
                report=self.report,
            )
        except DivergedError as error:
            raise EvaluationError(f"{error}; lower train.learning_rate") from None


@dataclass(frozen=True)
class TrainEvaluatorFactory:
    """Factory of the same evaluator in a worker process, where images are opened from the cache.

    Attributes:
        config: of the search.
        outputs: the teacher's logits, already filled.
        checkpoints: as :attr:`TrainEvaluator.checkpoints`.
    """

    config: SearchConfig
    outputs: Outputs | None = None
    checkpoints: Checkpoints | None = None

    def __call__(self) -> TrainEvaluator:
        """Return the evaluator, without progress reports."""
        data = open_images(self.config.data.spec, data_options(self.config.data))
        return TrainEvaluator(data, self.config, self.outputs, self.checkpoints)
