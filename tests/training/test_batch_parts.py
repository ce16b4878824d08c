"""Batches that a network takes in parts."""

import copy

import pytest
import torch
from torch import nn

from training.batch_parts import InParts, images_at_once
from training.batches import Batch
from training.fit import cross_entropy


@pytest.fixture
def batch() -> Batch:
    torch.manual_seed(0)
    return Batch(torch.randn(10, 3, 4, 4), torch.arange(10) % 3, None, others=6)


class Network(nn.Module):
    """A linear layer, behind batch norm if wanted, that notes the sizes of its batches."""

    def __init__(self, *, norm: bool) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(3) if norm else nn.Identity()
        self.head = nn.Linear(48, 3)
        self.sizes: list[int] = []

    def forward(self, images):
        self.sizes.append(len(images))
        return self.head(self.norm(images).flatten(1))


def gradients(network, loss, batch) -> list[torch.Tensor]:
    network = copy.deepcopy(network)
    total = 0.0
    for term in loss.terms(network, batch):
        term.backward()
        total += term.item()
    return [torch.tensor(total), *(weight.grad for weight in network.parameters())]


@pytest.mark.parametrize("most", [1, 3, 4, 9])
def test_loss_and_gradient_are_those_of_the_whole(batch, most):
    network, whole = Network(norm=False), cross_entropy(0.1)
    parts = gradients(network, InParts(whole, most), batch)
    torch.testing.assert_close(parts, gradients(network, InParts(whole, 10), batch))
    torch.testing.assert_close(parts[0], whole(network, batch))


@pytest.mark.parametrize(("most", "sizes"), [(10, [10]), (9, [5, 5]), (4, [4, 3, 3]), (3, [3, 3, 2, 2])])
def test_parts_are_of_equal_size(batch, most, sizes):
    network = Network(norm=False)
    list(InParts(cross_entropy(0.0), most).terms(network, batch))
    assert network.sizes == sizes


def test_every_part_has_its_own_statistics(batch):
    network = Network(norm=True)
    parts = list(InParts(cross_entropy(0.0), 5).terms(network, batch))
    alone = [
        cross_entropy(0.0)(network, Batch(batch.images[half], batch.labels[half], None))
        for half in (slice(0, 5), slice(5, 10))
    ]
    torch.testing.assert_close(sum(parts), sum(alone) / 2)


def test_shares_of_mixed_images_are_cut_too(batch):
    shares = torch.rand(10, 3).softmax(1)
    mixed = Batch(batch.images, batch.labels, None, shares=shares)
    network = Network(norm=False)
    loss = InParts(cross_entropy(0.0), 4)
    torch.testing.assert_close(loss(network, mixed), cross_entropy(0.0)(network, mixed))


def test_large_inputs_have_small_parts():
    assert [images_at_once(side) for side in (32, 64, 128, 160, 224, 1024)] == [512, 128, 32, 20, 16, 16]
