"""A loss of a batch that the network takes in parts, for large inputs: less memory at once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import nn

from training.batches import Batch
from training.step import Loss, SummedLoss

_PIXELS = 2**19  # of a part
_FEWEST = 16  # images of a part, for the statistics of batch norm


class InParts(SummedLoss):
    """The mean of a loss over a batch whose parts go through the network one after the other.

    Batch norm has the statistics of each part, as in "ghost batch normalisation" (Hoffer et al. 2017,
    "Train longer, generalize better", section 4).

    Args:
        loss: mean over a batch without a teacher.
        most: images of a part.
    """

    def __init__(self, loss: Loss, most: int) -> None:
        self._loss = loss
        self._most = most

    def terms(self, model: nn.Module, batch: Batch) -> Iterator[torch.Tensor]:
        """Yield the share of each part in the mean; parts differ by one image at most."""
        if batch.teacher is not None:
            raise ValueError("a batch with a teacher's outputs is not cut")
        count = -(-len(batch.images) // self._most)
        images, labels = batch.images.tensor_split(count), batch.labels.tensor_split(count)
        shares = [None] * count if batch.shares is None else batch.shares.tensor_split(count)
        for part in zip(images, labels, shares, strict=True):
            cut = replace(batch, images=part[0], labels=part[1], shares=part[2])
            yield self._loss(model, cut) * (len(part[0]) / len(batch.images))


def images_at_once(resolution: int) -> int:
    """Return how many square inputs of a side in pixels make a part: 32 at 128 pixels, at least 16."""
    return max(_FEWEST, _PIXELS // resolution**2)
