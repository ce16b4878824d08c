"""Training evaluator: a proposal is trained, scored on validation, and measured."""

from __future__ import annotations

import contextlib
import gc
import traceback
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from core.config import SearchConfig
from core.errors import UserError, one_line, out_of_memory
from core.files import write_bytes
from deploy.architecture_latency import measure_architecture
from deploy.competition_score import competition_score, total_seconds
from deploy.device.link import ModelError
from deploy.target_scores import logits_on
from deploy.targets import costs_on, precision
from deploy.targets.base import FLOAT
from distill.inherited_weights import InheritedWeights, initial_network, input_normalization
from distill.student_loss import student_loss
from minnow.data_set import reopen_data
from nas.objectives import Objectives
from nas.search import EvaluationError
from nas.trial import Proposal
from training.balance import loss_offsets
from training.batches import Batches, Outputs, augmentation_of
from training.data.images import ImageSet
from training.device import pick_device
from training.evaluate import score_logits
from training.fit import Fitted, Progress, fit
from training.metrics import Metrics
from training.optimizer import flat_schedule, schedule_by_recipe
from training.preprocess import Normalization
from training.state import load_checkpoint
from training.step import DivergedError

_REASON = 200  # characters of another library's words


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
        timed: whether the latency is measured here, too.
    """

    data: ImageSet
    config: SearchConfig
    outputs: Outputs | None = None
    checkpoints: Checkpoints | None = None
    report: Callable[[Progress], None] | None = None
    inheritance: InheritedWeights | None = None
    timed: bool = True

    def __call__(self, proposal: Proposal) -> Mapping[str, float]:
        """Train the proposal and return its metrics.

        They are f1, accuracy and balanced_accuracy on validation, the costs, latency_ms, train_seconds
        and images_per_second; and total_seconds and score where an objective or limit names one of them.

        Raises:
            EvaluationError: the loss, the gradient or the outputs became infinite or NaN, or the memory
                does not suffice.
        """
        with memory_shortage(proposal):
            fitted = self.trained(proposal)
            sees = input_normalization(self.inheritance)
            metrics = measured(
                proposal, self.data, self.config, fitted.model, fitted.val, sees, timed=self.timed
            )
        return {
            **metrics,
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
        unlabelled: ``(n,)`` of the images without labels to learn from.
        outputs: the teacher's logits, already filled.
        checkpoints: as :attr:`TrainEvaluator.checkpoints`.
    """

    config: SearchConfig
    unlabelled: np.ndarray
    outputs: Outputs | None = None
    checkpoints: Checkpoints | None = None

    def __call__(self) -> TrainEvaluator:
        """Return the evaluator, without progress reports."""
        data = reopen_data(self.config.data, self.unlabelled)
        return TrainEvaluator(data, self.config, self.outputs, self.checkpoints)


def measured(
    proposal: Proposal,
    data: ImageSet,
    config: SearchConfig,
    model: nn.Module,
    val: Metrics,
    normalization: Normalization,
    *,
    timed: bool,
) -> dict[str, float]:
    """Return the metrics of a network that has its weights.

    They are f1, accuracy and balanced_accuracy on validation, of the quantised network where the target
    is of int8; the costs; latency_ms where it is ``timed``; total_seconds and score where an objective
    or limit names one of them.
    """
    architecture, side = proposal.architecture, proposal.architecture.resolution
    if precision(config.target) != FLOAT:
        val = _scores_on_target(model, data, config.target, side, normalization)
    metrics: dict[str, float] = {
        "f1": val.f1,
        "accuracy": val.accuracy,
        "balanced_accuracy": val.balanced_accuracy,
        **costs_on(config.target, architecture, data.num_classes),
        **(latency_of(proposal, data.num_classes, config.target) if timed else {}),
    }
    if Objectives.parse(config.objectives, config.limits).timed:
        images = data.splits["val"]
        seconds = total_seconds(model, data, images, resolution=side, normalization=normalization)
        metrics |= {"total_seconds": seconds, "score": competition_score(val.f1, seconds, config.score)}
    return metrics


def _scores_on_target(
    model: nn.Module, data: ImageSet, target: str, side: int, normalization: Normalization
) -> Metrics:
    """Return the validation scores of the network as the target computes it.

    Raises:
        EvaluationError: the target cannot convert or run the network.
    """
    val = data.splits["val"]
    try:
        logits = logits_on(target, model, data, val, resolution=side, normalization=normalization)
    except ModelError as error:
        raise EvaluationError(f"{target}: {error}") from None
    return score_logits(logits, data, val)


def latency_of(proposal: Proposal, num_classes: int, target: str) -> dict[str, float]:
    """Return ``latency_ms`` on the target, that which limits apply to: a predicted one with its margin.

    Raises:
        EvaluationError: the target cannot convert or run the network.
    """
    try:
        latency = measure_architecture(proposal.architecture, num_classes, target=target)
        return {"latency_ms": latency.upper_ms}
    except ModelError as error:
        raise EvaluationError(f"{target}: {error}") from None


@contextlib.contextmanager
def memory_shortage(proposal: Proposal) -> Iterator[None]:
    """Fail a proposal whose network does not fit in the memory of this machine or its GPU.

    Raises:
        EvaluationError: it does not; what it took is free again.
    """
    try:
        yield
    except Exception as error:
        if not out_of_memory(error):
            raise
        traceback.clear_frames(error.__traceback__)  # they hold the tensors
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        raise EvaluationError(
            f"not enough memory for this network at {proposal.architecture.resolution} px "
            f"({one_line(error)[:_REASON]}); lower train.batch_size or space.resolutions"
        ) from None


def identity_of(proposal: Proposal) -> str:
    """Return what a proposal's training shares with its parent's: network and seed."""
    return f"{proposal.architecture.key} {proposal.seed}"


@dataclass(frozen=True)
class Checkpoints:
    """One file per trial, written after every epoch.

    Attributes:
        directory: of the files; made when needed.
        warn: callback for a training that begins anew because its checkpoint is gone.
    """

    directory: Path
    warn: Callable[[str], None]

    def of(self, proposal: Proposal) -> Path:
        """Return the proposal's file: its own after an interruption, else its parent's, else none yet.

        Damaged files are deleted. Where a continuation finds no file, it calls :attr:`warn`, and the
        training begins anew.
        """
        self.directory.mkdir(parents=True, exist_ok=True)
        own = self._path(proposal.number)
        if _usable(own, proposal) or proposal.parent is None:
            return own
        parent = self._path(proposal.parent)
        if _usable(parent, proposal):
            write_bytes(own, parent.read_bytes())
        else:
            self.warn(
                f"trial {proposal.number}: the checkpoint of trial {proposal.parent} is gone or damaged; "
                f"training its network from scratch"
            )
        return own

    def packed(self, proposal: Proposal) -> bytes | None:
        """Return the file that a training of the proposal begins with; ``None``: it begins anew."""
        path = self.of(proposal)
        return path.read_bytes() if path.exists() else None

    def unpack(self, proposal: Proposal, content: bytes) -> None:
        """Write the proposal's file as :meth:`packed` returned it elsewhere."""
        self.directory.mkdir(parents=True, exist_ok=True)
        write_bytes(self._path(proposal.number), content)

    def keep(self, numbers: Collection[int]) -> None:
        """Delete the files of all other trials."""
        for path in self.directory.glob("*.pt"):
            if path.stem.isdigit() and int(path.stem) not in numbers:
                path.unlink(missing_ok=True)

    def _path(self, number: int) -> Path:
        return self.directory / f"{number:04d}.pt"


def _usable(path: Path, proposal: Proposal) -> bool:
    """Tell if a file is there and whole; delete it if it is damaged or of another training."""
    with contextlib.suppress(UserError):
        return load_checkpoint(path, identity_of(proposal)) is not None
    path.unlink()
    return False
