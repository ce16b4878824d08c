"""The modules of the competition's scripts, written anew from what they compute, as an oracle.

The reference takes nothing from the package: rows go straight to torch modules, in the order in which they run.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from nas.architecture import Architecture
from nas.cost import cost
from nas.networks import build

_NAMES = {"HardSwish": nn.Hardswish, "Swish": nn.SiLU, "HardSigmoid": nn.Hardsigmoid, None: nn.Identity}


@pytest.fixture
def check_against_scripts() -> Callable[[Architecture, dict[str, Any]], None]:
    """A comparison of an architecture with the content of a model file, both for nine classes."""
    return _check


def _check(architecture: Architecture, content: dict[str, Any]) -> None:
    """Equal outputs with copied weights, in float64; equal parameters and multiply-adds."""
    side, classes = architecture.resolution, 9
    images = torch.rand(3, 3, side, side, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    theirs, ours = _reference(content, classes), build(architecture, classes).double().eval()
    with torch.no_grad():
        theirs(images[:1])  # gives lazy layers their size
        _randomise(theirs, seed=1)
        for mine, other in zip(_weights_in_order(ours), _weights_in_order(theirs), strict=True):
            mine.load_state_dict(other.state_dict())
        expected, found = theirs(images), ours(images)
        scale = expected.abs().max()
        torch.testing.assert_close(found / scale, expected / scale, rtol=0, atol=1e-12)
        total = cost(architecture, classes)
        assert (total.params, total.macs) == _counted(theirs, images)


def _reference(content: dict[str, Any], num_classes: int) -> nn.Sequential:
    """Return the network of a model file; its last row with weights gets ``num_classes`` outputs."""
    depth, width = content["depth_multiple"], content["width_multiple"]
    rows = [list(row) for row in content["backbone"]]
    weighted = [i for i, row in enumerate(rows) if row[1] in ("Linear", "Conv", "FixedConv")][-1]
    channels, layers = content["input_channel"], []
    for index, (repeat, module, args) in enumerate(rows):
        repeat = max(round(repeat * depth), 1) if repeat > 1 else repeat
        if index == weighted:
            module, args = module.replace("FixedConv", "Conv"), [num_classes, *args[1:]]
            scale: Callable[[float], int] = int
        else:
            scale = _eight if module not in ("FixedConv", "Linear") else int
        multiple = 1.0 if scale is int else width
        made, channels = _ROWS[module](channels, repeat, args, lambda c, s=scale, m=multiple: s(c * m))
        layers += made
    return nn.Sequential(*layers).double().eval()


def _weights_in_order(network: nn.Module) -> list[nn.Module]:
    """Return the modules with weights, in the order in which they run."""
    return [
        m for m in network.modules() if isinstance(m, nn.Conv2d | nn.BatchNorm2d | nn.Linear | nn.PReLU)
    ]


def _randomise(network: nn.Module, seed: int) -> None:
    """Give every weight and every running statistic a random value."""
    generator = torch.Generator().manual_seed(seed)
    for tensor in network.state_dict().values():
        if tensor.is_floating_point():
            tensor.copy_(torch.rand(tensor.shape, generator=generator, dtype=torch.float64) * 0.8 + 0.1)


def _counted(network: nn.Module, images: torch.Tensor) -> tuple[int, int]:
    """Return parameters and multiply-adds, the latter from hooks on a pass over one image."""
    macs = []

    def count(module: nn.Module, _: Any, output: torch.Tensor) -> None:
        per_output = module.weight[0].numel()  # type: ignore[union-attr, index, operator]
        macs.append(per_output * output[0].numel())

    handles = [
        module.register_forward_hook(count)
        for module in network.modules()
        if isinstance(module, nn.Conv2d | nn.Linear)
    ]
    network(images[:1])
    for handle in handles:
        handle.remove()
    return sum(p.numel() for p in network.parameters()), sum(macs)


def _eight(value: float) -> int:
    nearest = max(8, int(value + 4) // 8 * 8)
    return nearest + 8 if nearest < 0.9 * value else nearest


def _act(name: str | None) -> nn.Module:
    return _NAMES[name]() if name in _NAMES else getattr(nn, name)()


class _Conv(nn.Module):
    def __init__(
        self,
        channels: int,
        out: int,
        kernel: int,
        stride: int = 1,
        padding: Any = None,
        groups: int = 1,
        activation: str | None = "ReLU",
    ) -> None:
        super().__init__()
        padding = padding or kernel // 2  # 0 is kernel // 2; a list is true
        self.conv = nn.Conv2d(channels, out, kernel, stride, padding, groups=groups, bias=False)
        self.norm, self.act = nn.BatchNorm2d(out), _act(activation)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.act(self.norm(self.conv(x)))


class _Sum(nn.Module):
    """Its input plus its parts' output where ``shortcut``."""

    def __init__(self, parts: Sequence[nn.Module], shortcut: bool) -> None:
        super().__init__()
        self.parts, self.shortcut = nn.Sequential(*parts), shortcut

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.parts(x) if self.shortcut else self.parts(x)


class _Squeeze(nn.Module):
    def __init__(self, channels: int, inside: int, act: nn.Module, gate: nn.Module) -> None:
        super().__init__()
        self.first, self.act = nn.Conv2d(channels, inside, 1), act
        self.second, self.gate = nn.Conv2d(inside, channels, 1), gate

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.gate(self.second(self.act(self.first(F.adaptive_avg_pool2d(x, 1)))))


class _Fire(nn.Module):
    def __init__(self, channels: int, squeeze: int, one: int, three: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(channels, squeeze, 1)
        self.one, self.three = nn.Conv2d(squeeze, one, 1), nn.Conv2d(squeeze, three, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.squeeze(x).relu()
        return torch.cat([self.one(x).relu(), self.three(x).relu()], 1)


def _convs(channels: int, repeat: int, args: list[Any], scale: Any) -> tuple[list[nn.Module], int]:
    out, kernel, stride, *others = [scale(args[0]), args[1], *args[2:], *[1][len(args) - 2 :]]
    strides = [1] * (repeat - 1) + [stride]  # at the end of the repeats
    layers = [
        _Conv(before, out, kernel, each, *others)
        for before, each in zip([channels] + [out] * (repeat - 1), strides, strict=True)
    ]
    return [*layers], out


def _depthwise(channels: int, repeat: int, args: list[Any], scale: Any) -> tuple[list[nn.Module], int]:
    out, kernel, stride, padding, act = [scale(args[0]), *args[1:], *[1, None, "ReLU"][len(args) - 2 :]]
    layers = []
    for index in range(repeat):
        each = stride if index == repeat - 1 else 1
        layers.append(_Conv(channels, out, kernel, each, padding, math.gcd(channels, out), act))
        channels = out
    return [*layers], out


def _v2(channels: int, repeat: int, args: list[Any], scale: Any) -> tuple[list[nn.Module], int]:
    out, layers = scale(args[0]), []
    for index in range(repeat):
        stride, hidden = args[2] if index == 0 else 1, round(channels * args[1])
        parts = [] if args[1] == 1 else [_Conv(channels, hidden, 1, activation="ReLU6")]
        parts.append(_Conv(hidden, hidden, 3, stride, None, hidden, "ReLU6"))
        parts.append(_Conv(hidden, out, 1, activation=None))
        layers.append(_Sum(parts, stride == 1 and channels == out))
        channels = out
    return [*layers], out


def _v3(channels: int, repeat: int, args: list[Any], scale: Any) -> tuple[list[nn.Module], int]:
    kernel, expand, _, gate, hard, first = args
    out, layers = scale(args[2]), []
    act = "HardSwish" if hard else "ReLU"
    for index in range(repeat):
        stride, hidden = first if index == 0 else 1, _eight(channels * expand)
        squeeze = (
            _Squeeze(hidden, _eight(hidden // 4), nn.ReLU(), nn.Hardsigmoid()) if gate else nn.Identity()
        )
        depthwise = nn.Conv2d(
            hidden, hidden, kernel, stride, (kernel - 1) // 2, groups=hidden, bias=False
        )
        parts: list[nn.Module] = [depthwise, nn.BatchNorm2d(hidden)]
        if hidden == channels:
            parts += [_act(act), squeeze]
        else:
            parts = [_Conv(channels, hidden, 1, activation=act), *parts, squeeze, _act(act)]
        parts.append(_Conv(hidden, out, 1, activation=None))
        layers.append(_Sum(parts, stride == 1 and channels == out))
        channels = out
    return [*layers], out


def _mbconv(channels: int, repeat: int, args: list[Any], scale: Any) -> tuple[list[nn.Module], int]:
    expand, _, first, kernel = args
    out, layers = scale(args[1]), []
    for index in range(repeat):
        stride, hidden = first if index == 0 else 1, channels * expand
        parts: list[nn.Module] = []
        if hidden != channels:
            parts.append(_Conv(channels, hidden, 1, activation="Swish"))
        pad = max(kernel - stride, 0)
        parts.append(nn.ZeroPad2d([pad // 2, pad - pad // 2] * 2))
        parts.append(_Conv(hidden, hidden, kernel, stride, [0], hidden, "Swish"))
        parts.append(_Squeeze(hidden, max(1, channels // 4), nn.SiLU(), nn.Sigmoid()))
        parts.append(_Conv(hidden, out, 1, activation=None))
        layers.append(_Sum(parts, stride == 1 and channels == out))
        channels = out
    return [*layers], out


def _bottleneck(channels: int, repeat: int, args: list[Any], scale: Any) -> tuple[list[nn.Module], int]:
    shortcut, groups, expansion, act = [*args[1:], *[True, 1, 0.5, "ReLU"][len(args) - 1 :]]
    layers = []
    for out in [channels] * (repeat - 1) + [scale(args[0])]:
        hidden = int(out * expansion)
        parts = [_Conv(channels, hidden, 1, activation=act), _Conv(hidden, out, 3, groups=groups)]
        layers.append(_Sum(parts, shortcut and channels == out))
    return [*layers], scale(args[0])


def _fire(channels: int, repeat: int, args: list[Any], _: Any) -> tuple[list[nn.Module], int]:
    out = args[1] + args[2]
    return [_Fire(before, *args) for before in [channels] + [out] * (repeat - 1)], out


def _linear(channels: int, _: int, args: list[Any], __: Any) -> tuple[list[nn.Module], int]:
    return [nn.LazyLinear(args[0]), _act(args[1] if len(args) > 1 else None)], args[0]


def _plain(module: Callable[..., nn.Module]) -> Any:
    return lambda channels, repeat, args, _: ([module(*args) for _ in range(repeat)], channels)


_ROWS: dict[str, Any] = {
    "Conv": _convs,
    "FixedConv": _convs,
    "DWConv": _depthwise,
    "InvertedResidualv2": _v2,
    "InvertedResidualv3": _v3,
    "MBConv": _mbconv,
    "Bottleneck": _bottleneck,
    "Fire": _fire,
    "Linear": _linear,
    "MaxPool": _plain(nn.MaxPool2d),
    "AvgPool": _plain(nn.AvgPool2d),
    "GlobalAvgPool": _plain(lambda size=1: nn.AdaptiveAvgPool2d(size)),
    "Flatten": _plain(nn.Flatten),
    "Dropout": _plain(nn.Dropout),
}
