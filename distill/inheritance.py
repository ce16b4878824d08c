"""What students of the elastic space inherit: the weights of a whole network, and which come first."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

import torch

from nas.architecture import Architecture
from nas.errors import UserError
from nas.networks import Network, build
from nas.networks.describe import describe
from nas.networks.importance import by_magnitude
from nas.networks.inherit import Orders, cut
from teachers.ensemble import Teachers
from teachers.finetune import Teacher
from training.preprocess import Normalization


@dataclass(frozen=True)
class Inheritance:
    """A whole network to cut students out of.

    Attributes:
        base: the network; its ``base`` is its name.
        weights: by timm's names, on the CPU.
        orders: per group its channels, the most important first.
        normalization: of its input, and so of every student's.
        classes: number of logits.
    """

    base: Architecture
    weights: Mapping[str, torch.Tensor]
    orders: Orders
    normalization: Normalization
    classes: int

    @property
    def digest(self) -> str:
        """Of all that a student takes over."""
        digest = hashlib.sha256(self.base.key.encode())
        for name, tensor in [*self.weights.items(), *self.orders.items()]:
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


def from_teacher(teachers: Teachers, num_classes: int) -> Inheritance:
    """The weights of a fine-tuned teacher, in the order of :func:`nas.networks.importance.by_magnitude`.

    Raises:
        UserError: several teachers, or one that is no base for the elastic space.
    """
    teacher = only(teachers)
    base = base_of(teacher)
    weights = {name: value.detach().to("cpu") for name, value in teacher.model.state_dict().items()}
    return Inheritance(base, weights, by_magnitude(weights, base), teacher.normalization, num_classes)


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
