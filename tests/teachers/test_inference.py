"""ONNX Runtime gives PyTorch's signals; a network that it cannot run runs on PyTorch."""

from __future__ import annotations

import pytest
import timm
import torch
from torch import nn

from teachers.output_cache import inference_function
from training.signals import attention_of

KINDS = ("pooled", "attention")


class Counting(nn.Module):
    """A network that counts how often PyTorch runs it."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.calls = 0

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        return self.network(images)


def frozen(network: nn.Module) -> nn.Module:
    return network.eval().requires_grad_(False)


@pytest.fixture
def images() -> torch.Tensor:
    return torch.randn(5, 3, 64, 64, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", ["mobilenetv3_small_050", "resnet10t", "convnext_atto", "test_vit"])
def test_signals_are_those_of_the_network(name, images):
    torch.manual_seed(0)
    sizes = {"img_size": 64} if name == "test_vit" else {}
    network = frozen(timm.create_model(name, num_classes=4, **sizes))
    signals = inference_function(network, 64, KINDS)(images.contiguous(memory_format=torch.channels_last))
    final, maps = network.forward_intermediates(images)
    torch.testing.assert_close(signals.logits, network(images), rtol=1e-3, atol=1e-4)
    pooled = network.forward_head(final, pre_logits=True)
    torch.testing.assert_close(signals.pooled, pooled, rtol=1e-3, atol=1e-4)
    assert signals.attention.shape[0] == 5 and signals.attention.shape[2:] == (8, 8)
    torch.testing.assert_close(signals.attention, attention_of(maps), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("count", [1, 3, 5])
def test_a_batch_of_any_size_runs_without_pytorch(count, images):
    network = frozen(Counting(timm.create_model("mobilenetv3_small_050", num_classes=4)))
    infer = inference_function(network, 64, ())
    calls = network.calls
    signals = infer(images[:count])
    assert network.calls == calls
    torch.testing.assert_close(signals.logits, network(images[:count]), rtol=1e-3, atol=1e-4)


class DividesByItsBatch(nn.Module):
    """A graph with a fixed batch size would fail."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images.mean(dim=(2, 3)) / float(len(images))


class Decomposes(nn.Module):
    """ONNX has no singular values."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return torch.linalg.svdvals(images.mean(dim=1))[:, :4]


@pytest.mark.parametrize("odd", [DividesByItsBatch, Decomposes])
def test_what_onnx_runtime_gets_wrong_or_cannot_do_pytorch_answers(odd, images):
    network = frozen(Counting(nn.Sequential(nn.Conv2d(3, 4, 1), odd())))
    infer = inference_function(network, 64, ())
    calls = network.calls
    torch.testing.assert_close(infer(images).logits, network.network(images), rtol=0, atol=0)
    assert network.calls == calls + 1
