"""The sandwich rule: one training for all subnets of a network, with a teacher."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import torch
from torch import nn
from torch.func import functional_call
from torch.nn import functional as F

from nas.architecture import Architecture
from nas.networks import Network, skeleton
from nas.networks.subnet import Orders, subnet_weights
from nas.spaces.elastic import Elastic
from training.batches import Batch
from training.step import Loss, SummedLoss

_RANDOM_SUBNETS = 2  # per step, beside the largest and the smallest


class Sandwich(SummedLoss):
    """The mean loss of the largest, the smallest and two random subnets at every step.

    Yu & Huang 2019, "Universally slimmable networks", section 3.3; but all subnets learn from the same
    teacher, not from the largest one. Random subnets of all sizes are drawn from torch's global generator
    (:meth:`nas.spaces.elastic.Elastic.spread`).

    Args:
        space: of the subnets; the trained network is its base.
        orders: the channels that subnets keep first.
        loss: of each subnet.
        num_classes: number of logits.
    """

    def __init__(self, space: Elastic, orders: Orders, loss: Loss, num_classes: int) -> None:
        self.space, self.orders, self.loss, self.num_classes = space, orders, loss, num_classes
        self._smallest = space.decode(space.smallest)

    def terms(self, model: nn.Module, batch: Batch) -> Iterator[torch.Tensor]:
        """Yield the terms of the mean: of the largest subnet, the smallest, and the random ones.

        Args:
            model: the base network.
            batch: images at its resolution.
        """
        weights = {**dict(model.named_parameters()), **dict(model.named_buffers())}
        yield self.loss(model, batch) / (2 + _RANDOM_SUBNETS)
        for architecture in (self._smallest, *self._draw()):
            subnet = self._subnet(weights, architecture)
            yield self.loss(subnet, _resized(batch, architecture)) / (2 + _RANDOM_SUBNETS)

    def _draw(self) -> list[Architecture]:
        seed = int(torch.randint(2**62, ()).item())
        rng = np.random.default_rng(seed)
        return [self.space.decode(self.space.spread(rng)) for _ in range(_RANDOM_SUBNETS)]

    def _subnet(self, weights: dict[str, torch.Tensor], architecture: Architecture) -> nn.Module:
        """Return a callable subnet: gradients reach ``weights``, batch statistics are its own."""
        network = skeleton(architecture, self.num_classes)
        sizes = {name: value.shape for name, value in network.state_dict().items()}
        tensors = subnet_weights(weights, architecture, self.space.base, self.orders, sizes)
        return _FunctionalNetwork(network, tensors)


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
