"""What students of the elastic space inherit: the weights of a whole network, and which come first."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from core.config import AugmentConfig, Importance
from core.disk import disk_errors
from core.errors import UserError
from core.files import write_bytes
from nas.architecture import Architecture
from nas.networks import Network, build
from nas.networks.channel_importance import by_magnitude, by_taylor
from nas.networks.describe import describe
from nas.networks.subnet import Orders, cut
from teachers.ensemble import Teachers
from teachers.finetune import Teacher
from training.batches import augmentation_of
from training.data.images import ImageSet
from training.device import pick_device
from training.evaluate import evaluate
from training.metrics import Metrics
from training.preprocess import IMAGENET, Normalization, prepare
from training.recalibrate import recalibrate
from training.views import stored

ORDERS = "orders.safetensors"  # the file, in the directory of what begins with them
_BATCHES, _BATCH = 8, 64  # that show which channels matter
_SMOOTHING = 0.1  # or there is hardly a gradient where the teacher is sure


@dataclass(frozen=True)
class Inheritance:
    """A whole network to cut students out of.

    Attributes:
        base: the network; its ``base`` is its name.
        weights: by timm's names, on the CPU.
        orders: per group its channels, the most important first.
        normalization: of its input, and so of every student's.
        classes: number of logits.
        tested: ``test_digest`` of the images beside those it was trained on, where that is known.
    """

    base: Architecture
    weights: Mapping[str, torch.Tensor]
    orders: Orders
    normalization: Normalization
    classes: int
    tested: str | None = None

    @property
    def digest(self) -> str:
        """Of all that a student takes over."""
        digest = hashlib.sha256(self.base.key.encode())
        for name, tensor in [*sorted(self.weights.items()), *sorted(self.orders.items())]:
            digest.update(f"\n{name} {tuple(tensor.shape)}\n".encode())
            digest.update(tensor.detach().contiguous().numpy().tobytes())
        return digest.hexdigest()

    def network(self, architecture: Architecture) -> Network:
        """The network of ``architecture`` with its part of the weights.

        Raises:
            UserError: it was not cut out of this base.
        """
        network = build(architecture, self.classes)
        state = network.state_dict()
        sizes = {name: value.shape for name, value in state.items()}
        try:
            parts = cut(self.weights, architecture, self.base, self.orders, sizes)
        except ValueError as error:
            raise UserError(f"the network cannot inherit from {self.base.base}: {error}") from None
        network.load_state_dict({**state, **parts})
        return network

    def judged(
        self, architecture: Architecture, data: ImageSet, augment: AugmentConfig
    ) -> tuple[Network, Metrics]:
        """The network of ``architecture`` with recalibrated norms, frozen, and its scores on validation.

        Args:
            architecture: a part of the base.
            data: the images.
            augment: as when the weights were trained.

        Raises:
            UserError: it was not cut out of this base.
        """
        network = self.network(architecture).to(pick_device()).to(memory_format=torch.channels_last)
        network.eval().requires_grad_(False)
        sees: dict[str, Any] = {
            "resolution": architecture.resolution,
            "normalization": self.normalization,
        }
        recalibrate(network, data, augmentation_of(augment, data), **sees)
        return network, evaluate(network, data, "val", **sees)


def from_teacher(
    teachers: Teachers,
    data: ImageSet,
    importance: Importance = "taylor",
    *,
    orders: Orders | None = None,
) -> Inheritance:
    """The weights of a fine-tuned teacher, the most important channels first.

    Args:
        teachers: one network.
        data: whose training images show what matters, for ``taylor``.
        importance: a rule of :mod:`nas.networks.channel_importance`.
        orders: found earlier, see :func:`kept_orders`.

    Raises:
        UserError: several teachers, or one that is no base for the elastic space.
    """
    teacher = only(teachers)
    base, weights = base_of(teacher), weights_of(teacher.model)
    orders = orders_of(teacher, data, importance) if orders is None else orders
    return Inheritance(base, weights, orders, teacher.normalization, data.num_classes)


def orders_of(teacher: Teacher, data: ImageSet, importance: Importance = "taylor") -> Orders:
    """The channels of a teacher, the most important first; see :func:`from_teacher`."""
    base, weights = base_of(teacher), weights_of(teacher.model)
    if importance == "taylor":
        return by_taylor(weights, _gradients(teacher, data), base)
    return by_magnitude(weights, base)


def kept_orders(
    teacher: Teacher, data: ImageSet, importance: Importance, path: Path, *, begun: bool
) -> Orders:
    """:func:`orders_of`, kept in ``path``; where a training has begun with those there, they stay.

    Rounding decides between channels that matter alike, and differs with the number of threads.
    """
    from safetensors.torch import load, save

    if begun and path.exists():
        return load(path.read_bytes())
    orders = orders_of(teacher, data, importance)
    with disk_errors(path.parent):
        write_bytes(path, save(dict(orders)))
    return orders


def weights_of(model: nn.Module) -> dict[str, torch.Tensor]:
    """Parameters and statistics by name, on the CPU."""
    return {name: value.detach().to("cpu") for name, value in model.state_dict().items()}


def first_network(
    architecture: Architecture, num_classes: int, inheritance: Inheritance | None
) -> Network:
    """The network that a training starts from; ``None`` draws its weights from torch's generator.

    Raises:
        UserError: it was not cut out of what it should inherit from.
    """
    return build(architecture, num_classes) if inheritance is None else inheritance.network(architecture)


def normalization_of(inheritance: Inheritance | None) -> Normalization:
    """Of the input of such a network."""
    return IMAGENET if inheritance is None else inheritance.normalization


def _gradients(teacher: Teacher, data: ImageSet) -> list[dict[str, torch.Tensor]]:
    """Of the cross-entropy of a few batches of training images, by the names of the weights."""
    model = copy.deepcopy(teacher.model).requires_grad_(True)
    names, weights = zip(*model.named_parameters(), strict=True)
    device = weights[0].device
    order = np.random.default_rng(0).permutation(data.splits["train"])[: _BATCHES * _BATCH]
    found = []
    for part in np.array_split(order, max(1, round(len(order) / _BATCH))):
        indices = np.sort(part)
        images = prepare(stored(data, indices, device), teacher.resolution, teacher.normalization)
        labels = torch.from_numpy(data.labels[indices]).to(device)
        loss = cross_entropy(model(images), labels, label_smoothing=_SMOOTHING)
        gradients = torch.autograd.grad(loss, weights)
        found.append({n: g.to("cpu") for n, g in zip(names, gradients, strict=True)})
    return found


def base_of(teacher: Teacher) -> Architecture:
    """The architecture of a teacher.

    Raises:
        UserError: it is no base for the elastic space.
    """
    return describe(teacher.model, teacher.name, teacher.resolution)


def only(teachers: Teachers) -> Teacher:
    """The one teacher.

    Raises:
        UserError: there are several.
    """
    if len(teachers.members) > 1:
        raise UserError(
            "students of the space elastic inherit from one teacher; give --teacher one network"
        )
    return teachers.members[0]
