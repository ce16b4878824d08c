"""One training for all sub-networks of a network: the sandwich rule, with a teacher."""

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

RANDOM = 2  # sub-networks per step beside the largest and the smallest


class Sandwich(SummedLoss):
    """The mean loss of the largest, the smallest and two random sub-networks of every step.

    Yu & Huang 2019, "Universally slimmable networks", section 3.3; all learn from the same teacher,
    instead of from the largest. Random sub-networks are drawn from torch's global generator, of all
    sizes (:meth:`nas.spaces.elastic.Elastic.spread`).

    Args:
        space: whose sub-networks; the network that is trained is its base.
        orders: which channels they keep first.
        loss: of each of them.
        num_classes: number of logits.
    """

    def __init__(self, space: Elastic, orders: Orders, loss: Loss, num_classes: int) -> None:
        self.space, self.orders, self.loss, self.num_classes = space, orders, loss, num_classes
        self._smallest = space.decode(space.smallest)

    def terms(self, model: nn.Module, batch: Batch) -> Iterator[torch.Tensor]:
        """The largest network's share of the mean, the smallest's, the random ones'.

        Args:
            model: the whole network.
            batch: at its resolution.
        """
        weights = {**dict(model.named_parameters()), **dict(model.named_buffers())}
        yield self.loss(model, batch) / (2 + RANDOM)
        for architecture in (self._smallest, *self._drawn()):
            part = self._part(weights, architecture)
            yield self.loss(part, _resized(batch, architecture)) / (2 + RANDOM)

    def _drawn(self) -> list[Architecture]:
        seed = int(torch.randint(2**62, ()).item())
        rng = np.random.default_rng(seed)
        return [self.space.decode(self.space.spread(rng)) for _ in range(RANDOM)]

    def _part(self, weights: dict[str, torch.Tensor], architecture: Architecture) -> nn.Module:
        """The sub-network as something to call: gradients reach ``weights``, statistics are its own."""
        network = skeleton(architecture, self.num_classes)
        sizes = {name: value.shape for name, value in network.state_dict().items()}
        parts = subnet_weights(weights, architecture, self.space.base, self.orders, sizes)
        return _Called(network, parts)


class _Called(nn.Module):
    """A network without weights of its own, and those to call it with."""

    def __init__(self, network: Network, parts: dict[str, torch.Tensor]) -> None:
        super().__init__()
        self._call: Callable[[torch.Tensor], torch.Tensor] = lambda images: functional_call(
            network, parts, (images,)
        )

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self._call(images)


def _resized(batch: Batch, architecture: Architecture) -> Batch:
    side = architecture.resolution
    if batch.images.shape[-1] == side:
        return batch
    images = F.interpolate(batch.images, size=(side, side), mode="bilinear", antialias=True)
    return replace(batch, images=images)
