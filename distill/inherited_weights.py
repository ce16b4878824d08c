"""Weights that students of the elastic space inherit, with the order in which channels are kept."""

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
from core.errors import UserError, one_line
from core.files import write_bytes
from core.reading import read_bytes
from nas.architecture import Architecture
from nas.networks import Network, build
from nas.networks.channel_importance import by_magnitude, by_taylor
from nas.networks.subnet import Orders, subnet_weights
from nas.networks.timm_architecture import architecture_from_timm
from teachers.finetune import Teacher
from training.batches import augmentation_of
from training.data.images import ImageSet
from training.device import pick_device
from training.evaluate import evaluate
from training.metrics import Metrics
from training.preprocess import IMAGENET, Normalization, prepare
from training.recalibrate import recalibrate
from training.views import stored

ORDERS_FILE = "orders.safetensors"  # in the directory of the training that uses them
_BATCHES, _BATCH_SIZE = 8, 64  # training images that show which channels matter
_SMOOTHING = 0.1  # or there is hardly a gradient where the base is sure


@dataclass(frozen=True)
class InheritedWeights:
    """A trained base network that students are cut out of.

    Attributes:
        base: the base network; its ``base`` is its name.
        weights: by timm's names, on the CPU.
        orders: the channels of each group, the most important first.
        normalization: of the input of the base and of every student.
        classes: number of logits.
        test_digest: of the test images of the data set it was trained on, where that is known.
        limits: near which subnets were trained; none: those of all sizes, or none in particular.
        source: origin of the base's pretrained weights, where that is known.
    """

    base: Architecture
    weights: Mapping[str, torch.Tensor]
    orders: Orders
    normalization: Normalization
    classes: int
    test_digest: str | None = None
    limits: tuple[str, ...] = ()
    source: str | None = None

    @property
    def digest(self) -> str:
        """Hexadecimal hash of the base, its weights and its orders."""
        digest = hashlib.sha256(self.base.key.encode())
        for tensors in (self.weights, self.orders):
            update_digest(digest, tensors)
        return digest.hexdigest()

    def subnet(self, architecture: Architecture) -> Network:
        """Build the network of ``architecture`` with its share of the weights.

        Raises:
            UserError: ``architecture`` was not cut out of this base.
        """
        network = build(architecture, self.classes)
        state = network.state_dict()
        sizes = {name: value.shape for name, value in state.items()}
        try:
            inherited = subnet_weights(self.weights, architecture, self.base, self.orders, sizes)
        except ValueError as error:
            raise UserError(f"the network cannot inherit from {self.base.base}: {error}") from None
        network.load_state_dict({**state, **inherited})
        return network

    def evaluate_subnet(
        self, architecture: Architecture, data: ImageSet, augment: AugmentConfig
    ) -> tuple[Network, Metrics]:
        """Return a subnet with recalibrated batch norms, frozen, and its scores on validation.

        Args:
            architecture: of the subnet.
            data: the images.
            augment: as in the training of the weights.

        Raises:
            UserError: ``architecture`` was not cut out of this base.
        """
        network = self.subnet(architecture).to(pick_device()).to(memory_format=torch.channels_last)
        network.eval().requires_grad_(False)
        view: dict[str, Any] = {
            "resolution": architecture.resolution,
            "normalization": self.normalization,
        }
        recalibrate(network, data, augmentation_of(augment, data), **view)
        return network, evaluate(network, data, "val", **view)


def inherit_from_base(
    base: Teacher,
    data: ImageSet,
    importance: Importance = "taylor",
    *,
    orders: Orders | None = None,
) -> InheritedWeights:
    """Return the weights of a fine-tuned base, the most important channels first.

    Args:
        base: network that students are cut out of.
        data: its training images rank the channels, for ``taylor``.
        importance: a rule of :mod:`nas.networks.channel_importance`.
        orders: ranked earlier, see :func:`saved_channel_orders`; ``None`` ranks the channels now.

    Raises:
        UserError: networks cannot be cut out of it.
    """
    whole, weights = base_architecture(base), cpu_state_dict(base.model)
    orders = channel_orders(base, data, importance) if orders is None else orders
    return InheritedWeights(
        whole, weights, orders, base.normalization, data.num_classes, source=base.source
    )


def channel_orders(base: Teacher, data: ImageSet, importance: Importance = "taylor") -> Orders:
    """Rank the channels of a base, the most important first; see :func:`inherit_from_base`."""
    whole, weights = base_architecture(base), cpu_state_dict(base.model)
    if importance == "taylor":
        return by_taylor(weights, _gradients(base, data), whole)
    return by_magnitude(weights, whole)


def saved_channel_orders(
    base: Teacher, data: ImageSet, importance: Importance, path: Path, *, begun: bool
) -> Orders:
    """Return :func:`channel_orders` and save them in ``path``; a begun training reads its own from there.

    Rounding decides between channels of equal importance, and depends on the number of threads.
    """
    from safetensors.torch import save

    if begun and path.exists():
        return _read_orders(path)
    orders = channel_orders(base, data, importance)
    write_bytes(path, save(dict(orders)))
    return orders


def _read_orders(path: Path) -> Orders:
    """Read the order of each group of channels.

    Raises:
        UserError: it is damaged: one of them is no permutation.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    remedy = "delete the training's directory to start it again"
    try:
        orders = load(read_bytes(path, "", remedy=remedy))
        if any(order.tolist() != list(range(len(order))) for order in map(_sorted, orders.values())):
            raise ValueError("an order of channels is no permutation")
    except (SafetensorError, ValueError, TypeError, RuntimeError) as error:
        raise UserError(f"{path} is damaged ({one_line(error)}); {remedy}") from None
    return orders


def _sorted(order: torch.Tensor) -> torch.Tensor:
    return order.sort().values


def update_digest(digest: hashlib._Hash, tensors: Mapping[str, torch.Tensor]) -> None:
    """Let a hash depend on tensors, on the CPU: their names, shapes and values."""
    for name, tensor in sorted(tensors.items()):
        digest.update(f"\n{name} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.detach().contiguous().numpy().tobytes())


def cpu_state_dict(model: nn.Module) -> dict[str, torch.Tensor]:
    """Return parameters and buffers by name, on the CPU."""
    return {name: value.detach().cpu() for name, value in model.state_dict().items()}


def initial_network(
    architecture: Architecture, num_classes: int, inherited: InheritedWeights | None
) -> Network:
    """Build the network that a training starts from.

    Args:
        architecture: of the network.
        num_classes: number of logits.
        inherited: its weights; ``None`` draws them from torch's global generator.

    Raises:
        UserError: ``architecture`` was not cut out of the base of ``inherited``.
    """
    return build(architecture, num_classes) if inherited is None else inherited.subnet(architecture)


def input_normalization(inherited: InheritedWeights | None) -> Normalization:
    """Return the normalisation of the input of :func:`initial_network`."""
    return IMAGENET if inherited is None else inherited.normalization


def _gradients(base: Teacher, data: ImageSet) -> list[dict[str, torch.Tensor]]:
    """Return the gradients of the cross-entropy by the names of the weights, one entry per batch."""
    model = copy.deepcopy(base.model).requires_grad_(True)
    names, weights = zip(*model.named_parameters(), strict=True)
    device = weights[0].device
    order = np.random.default_rng(0).permutation(data.splits["train"])[: _BATCHES * _BATCH_SIZE]
    by_batch = []
    for batch in np.array_split(order, max(1, round(len(order) / _BATCH_SIZE))):
        indices = np.sort(batch)
        images = prepare(stored(data, indices, device), base.resolution, base.normalization)
        labels = torch.from_numpy(data.labels[indices]).to(device)
        loss = cross_entropy(model(images), labels, label_smoothing=_SMOOTHING)
        gradients = torch.autograd.grad(loss, weights)
        by_batch.append({n: g.cpu() for n, g in zip(names, gradients, strict=True)})
    return by_batch


def base_architecture(base: Teacher) -> Architecture:
    """Return the architecture of a base.

    Raises:
        UserError: networks cannot be cut out of it.
    """
    return architecture_from_timm(base.model, base.name, base.resolution)
