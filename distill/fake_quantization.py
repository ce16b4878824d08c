"""Fake quantisation: networks that compute as int8 runtimes will, and can be trained.

Values are rounded to the grid of their integers in the forward pass, and the gradient passes straight
through (Jacob et al. 2018, section 3). Only the trained float weights are kept: a target quantises them
as those of any other network, and rounding harms them less.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn
from torch.nn.utils import parametrize

from nas.networks.blocks import BottleneckBlock, ConvBnAct, FireBlock, Gate, InvertedResidualBlock

_MOST = 64.0  # of a weight: 7 bits, since 8 overflow on x86 without VNNI, and weights that bear 7 bear 8
_LEVELS = 255  # steps between the ends of an activation's range, 8 bits
_PACE = 0.01  # share of a batch in the moving range of an activation
_TINY = torch.finfo(torch.float32).tiny
_RANGE = "rounded"  # name of an activation's module in the layer that computes it
_WEIGHT = ("parametrizations.weight.original", "weight")
_FUSED = (nn.ReLU, nn.ReLU6, nn.Identity)  # activations that runtimes compute within the convolution


class _Rounding(torch.autograd.Function):
    """Rounding to a grid, whose gradient is taken to be 1 (Bengio et al. 2013, section 4).

    On a CPU, torch's ``fake_quantize_per_tensor_affine`` takes nine times as long.
    """

    @staticmethod
    def forward(
        values: torch.Tensor, scale: torch.Tensor, least: torch.Tensor, most: torch.Tensor
    ) -> torch.Tensor:
        """Return the nearest of ``scale * least``, ``scale * (least + 1)``, ..., ``scale * most``."""
        return (values * (1 / scale)).round_().clamp_(least, most).mul_(scale)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: torch.Tensor) -> None:
        """Keep nothing: the gradient does not depend on the values."""

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None, None, None]:
        """Return the gradient as it is."""
        return gradient, None, None, None


class RoundedWeight(nn.Module):
    """Rounds a weight to signed integers, with a scale per output channel."""

    def forward(self, weight: torch.Tensor) -> torch.Tensor:
        """Return the rounded weight, ``(out, ...)`` as the given one."""
        most = weight.new_tensor(_MOST)
        largest = weight.detach().abs().amax(dim=tuple(range(1, weight.ndim)), keepdim=True)
        scale = (largest / most).clamp(min=_TINY)
        rounded: torch.Tensor = _Rounding.apply(weight, scale, -most, most)
        return rounded


class RoundedActivation(nn.Module):
    """Rounds activations to 8 bits over their range, which follows them slowly in training."""

    low: torch.Tensor
    high: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("low", torch.zeros(()))
        self.register_buffer("high", torch.zeros(()))
        self.pace = _PACE

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """Return the rounded values, ``(B, C, ...)`` as the given ones."""
        if self.training:
            low, high = torch.aminmax(values.detach().movedim(1, -1))  # no copy of channels-last maps
            self.low.lerp_(low.clamp(max=0).to(self.low.dtype), self.pace)
            self.high.lerp_(high.clamp(min=0).to(self.high.dtype), self.pace)
        scale = ((self.high - self.low) / _LEVELS).clamp(min=_TINY)
        least = (self.low / scale).round()
        rounded: torch.Tensor = _Rounding.apply(values, scale, least, least + _LEVELS)
        return rounded

    def round_output(self, module: nn.Module, inputs: Any, output: torch.Tensor) -> torch.Tensor:
        """Return the rounded output of a layer: its forward hook."""
        rounded: torch.Tensor = self(output)
        return rounded


class FakeQuantized(nn.Module):
    """A copy of a network that computes as if it were quantised.

    In training, the ranges of activations follow them; batch norm and dropout stay as in inference.

    Args:
        network: of Minnow.
        images: whose activations give the first ranges, ``(B, 3, r, r)``, normalised.
    """

    def __init__(self, network: nn.Module, images: torch.Tensor) -> None:
        super().__init__()
        self.network = copy.deepcopy(network).eval()
        ranges = [_rounded(layer) for layer in [*_rounded_layers(self.network)]]
        for layer in [*self.network.modules()]:
            if isinstance(layer, (nn.Conv2d, nn.Linear)):
                parametrize.register_parametrization(layer, "weight", RoundedWeight())
        self._measure(ranges, images)

    def _measure(self, ranges: list[RoundedActivation], images: torch.Tensor) -> None:
        for each in ranges:
            each.pace = 1.0
        with torch.no_grad():
            self.train()(images)
        for each in ranges:
            each.pace = _PACE
        self.eval()

    def train(self, mode: bool = True) -> FakeQuantized:
        """Let the ranges follow the activations, or keep them."""
        super().train(False)
        self.training = mode
        for layer in self.modules():
            if isinstance(layer, RoundedActivation):
                layer.training = mode
        return self

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return logits ``(B, C)`` of normalised images ``(B, 3, r, r)``."""
        logits: torch.Tensor = self.network(images)
        return logits

    def float_weights(self) -> dict[str, torch.Tensor]:
        """Return the weights before rounding, by the names that they have in the network."""
        weights = self.network.state_dict()
        return {
            name.replace(*_WEIGHT): value
            for name, value in weights.items()
            if _RANGE not in name.split(".")
        }


def _rounded(layer: nn.Module) -> RoundedActivation:
    """Let a layer round its output; return what rounds it."""
    rounding = RoundedActivation()
    layer.add_module(_RANGE, rounding)
    layer.register_forward_hook(rounding.round_output)
    return rounding


def _rounded_layers(network: nn.Module) -> Iterator[nn.Module]:
    """Yield the layers whose output runtimes store as integers."""
    for layer in network.modules():
        if isinstance(layer, ConvBnAct):
            _, norm, activation = layer
            if not isinstance(activation, _FUSED):
                yield norm
            yield layer
        elif isinstance(layer, (InvertedResidualBlock, BottleneckBlock)):
            if layer.residual:
                yield layer
        elif isinstance(layer, (Gate, FireBlock, nn.Linear)):
            yield layer
