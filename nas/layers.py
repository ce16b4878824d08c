"""The layers of an architecture: frozen records with resolved numbers.

Rows of model files become these in :mod:`nas.model_file.rows`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from nas.timm_layers import ConvBn, InvertedResidual

#: Activations of ``torch.nn`` that need no arguments and keep the shape.
ACTIVATIONS = (
    "CELU", "ELU", "GELU", "Hardshrink", "Hardsigmoid", "Hardswish", "Hardtanh", "Identity", "LeakyReLU",
    "LogSigmoid", "Mish", "PReLU", "RReLU", "ReLU", "ReLU6", "SELU", "SiLU", "Sigmoid", "Softmax2d",
    "Softplus", "Softshrink", "Softsign", "Tanh", "Tanhshrink",
)  # fmt: skip


@dataclass(frozen=True)
class Conv:
    """Convolution without bias, batch norm, activation (``None``: linear)."""

    out: int
    kernel: int
    stride: int = 1
    padding: int | None = None  # None: kernel // 2
    groups: int = 1
    activation: str | None = "ReLU"

    def __post_init__(self) -> None:
        """Resolve the padding, so that equal convolutions are equal records."""
        if self.padding is None:
            object.__setattr__(self, "padding", self.kernel // 2)

    @property
    def pad(self) -> int:
        """Zero padding on each side, pixels."""
        return self.kernel // 2 if self.padding is None else self.padding


@dataclass(frozen=True)
class InvertedResidualv2:
    """MobileNetV2 block (Sandler et al. 2018, fig. 4b): ReLU6, linear projection."""

    out: int
    expand: float
    stride: int
    kernel: int = 3
    activation: str | None = "ReLU6"

    def __post_init__(self) -> None:
        object.__setattr__(self, "expand", float(self.expand))  # 2 and 2.0 are one network

    def hidden(self, channels: int) -> int:
        """Return the channels after expansion."""
        return round(channels * self.expand)  # half to even, as the schema has it


@dataclass(frozen=True)
class InvertedResidualv3:
    """MobileNetV3 block (Howard et al. 2019, fig. 4): optional squeeze-excite and hard swish."""

    kernel: int
    expand: float
    out: int
    squeeze_excite: bool
    hard_swish: bool
    stride: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "expand", float(self.expand))
        object.__setattr__(self, "squeeze_excite", bool(self.squeeze_excite))
        object.__setattr__(self, "hard_swish", bool(self.hard_swish))

    def hidden(self, channels: int) -> int:
        """Return the channels after expansion, a multiple of 8."""
        return make_divisible(channels * self.expand, 8)

    def squeezed(self, channels: int) -> int:
        """Return the channels inside the squeeze-excite gate."""
        return make_divisible(self.hidden(channels) // 4, 8)

    def gated_before(self, channels: int) -> InvertedResidualv3:
        """Return the block with its gate before the activation, as the model file means the module.

        It is another one only where a gate and an expansion are there.

        Args:
            channels: that come in.
        """
        if not self.squeeze_excite or self.hidden(channels) == channels:
            return self
        return InvertedResidualv3GateFirst(**vars(self))


@dataclass(frozen=True)
class InvertedResidualv3GateFirst(InvertedResidualv3):
    """MobileNetV3 block whose gate comes between the depthwise batch norm and its activation.

    Source: d-li14/mobilenetv3.pytorch, which the competitions' scripts follow.
    """


@dataclass(frozen=True)
class MBConv:
    """EfficientNet block (Tan & Le 2019): Swish, squeeze-excite, zero padding that may be uneven."""

    expand: float
    out: int
    stride: int
    kernel: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "expand", float(self.expand))

    def hidden(self, channels: int) -> int:
        """Return the channels after expansion.

        Raises:
            ValueError: not a whole number.
        """
        hidden = channels * self.expand
        if hidden < 1 or hidden != int(hidden):
            raise ValueError(f"expand {self.expand:g} of {channels} channels gives {hidden:g}, not whole")
        return int(hidden)

    def squeezed(self, channels: int) -> int:
        """Return the channels inside the squeeze-excite gate."""
        return max(1, channels // 4)

    @property
    def pads(self) -> tuple[int, int]:
        """Zero padding before and after, pixels."""
        total = max(self.kernel - self.stride, 0)
        return total // 2, total - total // 2


@dataclass(frozen=True)
class Bottleneck:
    """ResNet-like block: 1x1 convolution with ``activation``, 3x3 with ReLU, optional shortcut."""

    out: int
    shortcut: bool = True
    groups: int = 1
    expansion: float = 0.5
    activation: str | None = "ReLU"

    def __post_init__(self) -> None:
        object.__setattr__(self, "shortcut", bool(self.shortcut))
        object.__setattr__(self, "expansion", float(self.expansion))

    @property
    def hidden(self) -> int:
        """Channels between the convolutions."""
        return int(self.out * self.expansion)


@dataclass(frozen=True)
class Fire:
    """SqueezeNet block (Iandola et al. 2016, fig. 1): biases, ReLU, no batch norm."""

    squeeze: int
    expand1x1: int
    expand3x3: int

    @property
    def out(self) -> int:
        """Output channels."""
        return self.expand1x1 + self.expand3x3


@dataclass(frozen=True)
class MaxPool:
    """Largest value of each window; padding never wins."""

    kernel: int
    stride: int
    padding: int = 0
    dilation: int = 1
    ceil_mode: bool = False


@dataclass(frozen=True)
class AvgPool:
    """Mean of each window."""

    kernel: int
    stride: int
    padding: int = 0
    ceil_mode: bool = False
    count_padding: bool = True


@dataclass(frozen=True)
class Dropout:
    """Zeros for a random share of the features in training; nothing afterwards."""

    share: float = 0.5

    def __post_init__(self) -> None:
        object.__setattr__(self, "share", float(self.share))


@dataclass(frozen=True)
class GlobalAvgPool:
    """Mean over height and width."""


@dataclass(frozen=True)
class Flatten:
    """``(C, h, w)`` to ``C h w`` features."""


@dataclass(frozen=True)
class Dense:
    """A linear layer before the classifier."""

    out: int
    activation: str | None = None


@dataclass(frozen=True)
class Linear:
    """The classifier; its width is the number of classes."""


@dataclass(frozen=True)
class ConvClassifier:
    """A convolution with batch norm as classifier; its width is the number of classes."""

    kernel: int = 1
    stride: int = 1
    padding: int = 0
    activation: str | None = None


Layer = (
    Conv
    | InvertedResidualv2
    | InvertedResidualv3
    | MBConv
    | Bottleneck
    | Fire
    | ConvBn
    | InvertedResidual
    | MaxPool
    | AvgPool
    | Dropout
    | GlobalAvgPool
    | Flatten
    | Dense
    | Linear
    | ConvClassifier
)
#: Layers that give one channel per class.
CLASSIFIERS = (Linear, ConvClassifier)
#: Layers that may follow the classifier.
AFTER_CLASSIFIER = (GlobalAvgPool, AvgPool, MaxPool, Flatten, Dropout)


@lru_cache(1 << 12)
def make_divisible(value: float, divisor: int = 8) -> int:
    """Round to a multiple of ``divisor``: at least it, half up, never more than 10 % down.

    Source: Sandler et al. 2018, reference implementation of MobileNetV2.
    """
    rounded = max(divisor, int(value + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * value else rounded
