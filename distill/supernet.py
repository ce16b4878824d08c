"""Supernet: the base, trained so that its subnets have good weights: all, or those near limits."""

from __future__ import annotations

import copy
import hashlib
import json
from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from pydantic import Field, PositiveFloat
from torch import nn
from torch.func import functional_call
from torch.nn import functional as F

from core.config import AugmentConfig, Importance, LossConfig, TrainConfig
from core.errors import UserError, disk_errors
from core.files import json_text, write_bytes, write_text
from core.reading import read_bytes, read_record
from distill.inherited_weights import (
    ORDERS_FILE,
    InheritedWeights,
    base_architecture,
    cpu_state_dict,
    saved_channel_orders,
)
from distill.student_loss import StudentLoss
from nas.architecture import Architecture
from nas.networks import Network, skeleton
from nas.networks.subnet import Orders, subnet_weights
from nas.spaces.elastic import Elastic
from teachers.ensemble import PreparedTeacher
from teachers.finetune import Teacher
from training.batches import Batch, Batches, augmentation_of
from training.data.images import ImageSet
from training.device import pick_device
from training.fit import Progress, fit
from training.preprocess import Normalization
from training.score_record import StoredRecord
from training.step import DivergedError, Loss, SummedLoss, halve_once

SUPERNET_FOLDER = "supernet"
_WEIGHTS, _BASE, _RECORD = "weights.safetensors", "base.yaml", "record.json"
_CHECKPOINT = "checkpoint.pt"  # during the training, beside the channel orders
_LARGEST = 10_000_000_000  # bytes of the weights
_ORDER = "order."  # prefix of the orders among the tensors
_RANDOM_SUBNETS = 2  # per step, beside the largest and the smallest
_NEAR_SUBNETS = 3  # per step, where only subnets near limits are trained


class _Record(StoredRecord):
    """``record.json`` beside the weights."""

    identity: str
    sha256: str  # of the weights
    classes: Annotated[int, Field(ge=1)]
    test_files: str | None
    limits: tuple[str, ...] = ()
    source: str | None = None
    mean: tuple[float, float, float]
    std: tuple[PositiveFloat, PositiveFloat, PositiveFloat]


def train_supernet(
    space: Elastic,
    base: Teacher,
    teacher: PreparedTeacher,
    data: ImageSet,
    recipe: TrainConfig,
    loss: LossConfig,
    augment: AugmentConfig,
    folder: Path,
    *,
    near: Sequence[Architecture] = (),
    limits: Sequence[str] = (),
    importance: Importance = "taylor",
    seed: int = 0,
    warn: Callable[[str], None],
    report: Callable[[Progress], None] | None = None,
) -> InheritedWeights:
    """Return the supernet in ``folder``; train it, or resume its training, where it is not finished.

    Args:
        space: whose subnets are trained.
        base: network of the space; its weights are the first ones.
        teacher: its outputs are for the recipe's views.
        data: the images.
        recipe: of the training, resolved.
        loss: of every subnet; features are not compared, since their sizes differ between subnets.
        augment: as for the teacher's outputs.
        folder: of the supernet.
        near: subnets to train (:class:`NearLimits`); none: subnets of all sizes (:class:`Sandwich`).
        limits: which ``near`` is near to; recorded.
        importance: which channels are kept first.
        seed: of the order of images and of the subnets.
        warn: callback for the one-line warning after a rollback.
        report: callback for the progress of every step.

    Raises:
        UserError: ``folder`` holds a supernet of other settings, or one begun near other limits; the
            training diverged twice.
    """
    whole = base_architecture(base)
    decisions = [[decision.name, list(decision.options)] for decision in space.decisions]
    settings = [config.model_dump(mode="json") for config in (recipe, loss, augment)]
    content = [decisions, whole.key, base.digest, data.digest, settings, importance, seed]
    if teacher.ensemble.digest != base.digest:
        content.append(teacher.ensemble.digest)
    identity = hashlib.sha256(json.dumps(content).encode()).hexdigest()
    if (folder / _WEIGHTS).exists():
        return load_supernet(folder, identity)
    begun = (folder / _CHECKPOINT).exists()
    orders = saved_channel_orders(base, data, importance, folder / ORDERS_FILE, begun=begun)
    batches = Batches(
        data=data,
        resolution=base.resolution,
        normalization=base.normalization,
        augmentation=augmentation_of(augment, data),
        batch_size=recipe.batch_size,
        views=recipe.view_count,
        seed=seed,
        outputs=teacher.outputs,
        device=pick_device(),
    )
    training = hashlib.sha256(json.dumps([identity, *limits]).encode()).hexdigest() if near else identity
    logits_alone = StudentLoss(loss.model_copy(update={"features": None}))
    subnets: SubnetLoss
    if near:
        subnets = NearLimits(space, orders, logits_alone, data.num_classes, near)
    else:
        subnets = Sandwich(space, orders, logits_alone, data.num_classes)
    try:
        fitted = fit(
            copy.deepcopy(base.model).requires_grad_(True),
            batches,
            subnets,
            recipe,
            checkpoint=folder / _CHECKPOINT,
            identity=training,
            keep_last=True,
            on_divergence=halve_once(warn),
            report=_without_score(report) if near and report else report,
        )
    except DivergedError as error:
        raise UserError(f"training the supernet stopped: {error}; lower supernet.learning_rate") from None
    supernet = InheritedWeights(
        whole,
        cpu_state_dict(fitted.model),
        orders,
        base.normalization,
        data.num_classes,
        data.test_digest,
        tuple(limits) if near else (),
        base.source,
    )
    _save(supernet, folder, {"identity": identity, "seconds": fitted.seconds, "history": fitted.history})
    return supernet


def load_supernet(folder: Path, identity: str | None = None) -> InheritedWeights:
    """Load a finished supernet.

    Args:
        folder: of the supernet.
        identity: digest that it must have; ``None`` accepts any.

    Raises:
        UserError: it is damaged, or was trained with other settings.
    """
    from safetensors.torch import load

    remedy = "delete the supernet's folder to train it again"
    record = read_record(_Record, folder / _RECORD, "", remedy=remedy)
    content = read_bytes(folder / _WEIGHTS, "", limit=_LARGEST, remedy=remedy)
    if hashlib.sha256(content).hexdigest() != record.sha256:
        raise UserError(f"{folder / _WEIGHTS} is damaged: its checksum is wrong; {remedy}")
    tensors = load(content)
    if identity not in (None, record.identity):
        raise UserError(
            f"supernet {folder} was trained with another base, teacher, data set, space or recipe; "
            "choose another output directory, or the settings it was trained with"
        )
    orders = {name.removeprefix(_ORDER): t for name, t in tensors.items() if name.startswith(_ORDER)}
    weights = {name: t for name, t in tensors.items() if not name.startswith(_ORDER)}
    base = Architecture.from_yaml(folder / _BASE)
    normalization = Normalization(record.mean, record.std)
    return InheritedWeights(
        base,
        weights,
        orders,
        normalization,
        record.classes,
        record.test_files,
        record.limits,
        record.source,
    )


def has_supernet(run: Path) -> bool:
    """Return whether a run directory holds a finished supernet."""
    return (run / SUPERNET_FOLDER / _WEIGHTS).exists()


def find_supernet(run: Path) -> InheritedWeights | None:
    """Load the finished supernet of a run directory; ``None`` if it has none."""
    return load_supernet(run / SUPERNET_FOLDER) if has_supernet(run) else None


def _save(supernet: InheritedWeights, folder: Path, record: dict[str, Any]) -> None:
    """Write the files, the weights last: a folder with weights holds a whole supernet."""
    from safetensors.torch import save

    orders = {f"{_ORDER}{group}": order for group, order in supernet.orders.items()}
    content = save({name: t.contiguous() for name, t in {**supernet.weights, **orders}.items()})
    record = {
        **record,
        "sha256": hashlib.sha256(content).hexdigest(),
        "classes": supernet.classes,
        "test_files": supernet.test_digest,
        "limits": supernet.limits,
        "source": supernet.source,
        "mean": supernet.normalization.mean,
        "std": supernet.normalization.std,
    }
    with disk_errors(folder):
        write_text(folder / _BASE, supernet.base.to_text(num_classes=supernet.classes))
        write_text(folder / _RECORD, json_text(record))
        write_bytes(folder / _WEIGHTS, content)
        for name in (_CHECKPOINT, ORDERS_FILE):
            (folder / name).unlink(missing_ok=True)


def _without_score(report: Callable[[Progress], None]) -> Callable[[Progress], None]:
    """Return a report without validation F1: that of the whole network, which is not trained."""
    return lambda progress: report(replace(progress, val_f1=None))


class SubnetLoss(SummedLoss):
    """The mean loss of several subnets at every step, all of which learn from the same teacher.

    Random subnets are drawn from torch's global generator.

    Args:
        space: of the subnets; the trained network is its base.
        orders: the channels that subnets keep first.
        loss: of each subnet.
        num_classes: number of logits.
    """

    def __init__(self, space: Elastic, orders: Orders, loss: Loss, num_classes: int) -> None:
        self.space, self.orders, self.loss, self.num_classes = space, orders, loss, num_classes

    @abstractmethod
    def drawn(self, rng: np.random.Generator) -> list[Architecture | None]:
        """Return the subnets of the next step; ``None`` is the whole network."""

    def terms(self, model: nn.Module, batch: Batch) -> Iterator[torch.Tensor]:
        """Yield the terms of the mean, one per subnet.

        Args:
            model: the base network.
            batch: images at its resolution.
        """
        weights = {**dict(model.named_parameters()), **dict(model.named_buffers())}
        drawn = self.drawn(np.random.default_rng(int(torch.randint(2**62, ()).item())))
        for architecture in drawn:
            if architecture is None:
                yield self.loss(model, batch) / len(drawn)
                continue
            subnet = self._subnet(weights, architecture)
            yield self.loss(subnet, _resized(batch, architecture)) / len(drawn)

    def _subnet(self, weights: dict[str, torch.Tensor], architecture: Architecture) -> nn.Module:
        """Return a callable subnet: gradients reach ``weights``, batch statistics are its own."""
        network = skeleton(architecture, self.num_classes)
        sizes = {name: value.shape for name, value in network.state_dict().items()}
        tensors = subnet_weights(weights, architecture, self.space.base, self.orders, sizes)
        return _FunctionalNetwork(network, tensors)


class Sandwich(SubnetLoss):
    """The largest, the smallest and two random subnets of all sizes (:meth:`Elastic.spread`).

    Yu & Huang 2019, "Universally slimmable networks", section 3.3; but all subnets learn from the same
    teacher, not from the largest one.
    """

    def __init__(self, space: Elastic, orders: Orders, loss: Loss, num_classes: int) -> None:
        super().__init__(space, orders, loss, num_classes)
        self._smallest = space.decode(space.smallest)

    def drawn(self, rng: np.random.Generator) -> list[Architecture | None]:
        """Return the largest, the smallest, and random ones."""
        random = [self.space.random_subnet(rng) for _ in range(_RANDOM_SUBNETS)]
        return [None, self._smallest, *random]


class NearLimits(SubnetLoss):
    """Three of given subnets, drawn at random, as near the limits of a search as its choice will be.

    A step costs a fraction of the sandwich's, and no weight has to serve networks of other sizes.

    Args:
        space: of the subnets.
        orders: the channels that subnets keep first.
        loss: of each subnet.
        num_classes: number of logits.
        subnets: to draw from.
    """

    def __init__(
        self,
        space: Elastic,
        orders: Orders,
        loss: Loss,
        num_classes: int,
        subnets: Sequence[Architecture],
    ) -> None:
        super().__init__(space, orders, loss, num_classes)
        self._subnets = subnets

    def drawn(self, rng: np.random.Generator) -> list[Architecture | None]:
        """Return some of the subnets."""
        count = min(_NEAR_SUBNETS, len(self._subnets))
        return [self._subnets[i] for i in rng.choice(len(self._subnets), count, replace=False)]


class _FunctionalNetwork(nn.Module):
    """A network without weights of its own, called with given ones."""

    def __init__(self, network: Network, tensors: dict[str, torch.Tensor]) -> None:
        super().__init__()
        self._call: Callable[[torch.Tensor], torch.Tensor] = lambda images: functional_call(
            network, tensors, (images,)
        )

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self._call(images)


def _resized(batch: Batch, architecture: Architecture) -> Batch:
    side = architecture.resolution
    if batch.images.shape[-1] == side:
        return batch
    images = F.interpolate(batch.images, size=(side, side), mode="bilinear", antialias=True)
    return replace(batch, images=images)
