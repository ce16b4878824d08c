"""Layers of timm's mobile networks, with explicit numbers: nothing is derived from a multiple.

They describe networks that are cut out of a pretrained one, whose widths follow no formula.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

EPS = 1e-5  # of batch norm where nothing else is said


@dataclass(frozen=True)
class ConvBn:
    """Convolution without bias, batch norm, activation (``None``: linear).

    Attributes:
        same: pad to TensorFlow's SAME, else by kernel // 2 on every side.
        eps: of the batch norm.
    """

    out: int
    kernel: int
    stride: int
    activation: str | None
    same: bool = False
    eps: float = EPS

    def pads(self, side: int) -> tuple[int, int]:
        """Return the zero padding before and after ``side`` pixels."""
        return _pads(side, self.kernel, self.stride, self.same)


@dataclass(frozen=True)
class InvertedResidual:
    """Inverted residual: expand (1x1), depthwise, optional squeeze-excite, project (1x1, linear).

    Attributes:
        out: channels after the projection.
        hidden: channels between; ``None``: those of the input, without an expansion (a
            depthwise-separable convolution).
        residual: whether the input is added.
        squeezed: channels inside the gate; 0: no gate.
        squeeze_activation: inside the gate.
        gate: ``Sigmoid`` or ``Hardsigmoid``; ``None`` without a gate.
        same: pad to TensorFlow's SAME, else by kernel // 2 on every side.
        eps: of the batch norms.
    """

    out: int
    hidden: int | None
    kernel: int
    stride: int
    residual: bool
    activation: str | None
    squeezed: int = 0
    squeeze_activation: str | None = None
    gate: str | None = None
    same: bool = False
    eps: float = EPS

    def pads(self, side: int) -> tuple[int, int]:
        """Return the zero padding of the depthwise convolution before and after ``side`` pixels."""
        return _pads(side, self.kernel, self.stride, self.same)


def stages_of(layers: Sequence[object]) -> list[list[int]]:
    """Return the indices of the inverted residuals by stage; a block without a shortcut begins one."""
    stages: list[list[int]] = []
    for index, layer in enumerate(layers):
        if isinstance(layer, InvertedResidual):
            if not stages or not layer.residual:
                stages.append([])
            stages[-1].append(index)
    return stages


def _pads(side: int, kernel: int, stride: int, same: bool) -> tuple[int, int]:
    """Return the padding; SAME gives ``ceil(side / stride)`` pixels, with the odd zero at the end."""
    if not same:
        return kernel // 2, kernel // 2
    total = max((-(-side // stride) - 1) * stride + kernel - side, 0)
    return total // 2, total - total // 2
