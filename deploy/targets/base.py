"""Base class of targets, and what they make: models in the format of a runtime."""

from __future__ import annotations

import importlib.util
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import deploy.device.runners
from core.errors import UserError
from nas.architecture import Architecture
from nas.cost import cost
from nas.memory import peak_activations, weight_bytes
from nas.objectives import MEMORY

if TYPE_CHECKING:
    import numpy as np
    import torch
    from torch import nn

FLOAT, INT8 = "float32", "int8"
_VALUE_BYTES = {FLOAT: 4, INT8: 1}  # of an activation
_KB = 1024
RUNNERS = Path(deploy.device.runners.__path__[0])


@dataclass(frozen=True)
class ConvertedModel:
    """A network in the format of a target.

    Attributes:
        files: content by name; the first is the one to open.
        shape: of the input: one image, in the target's layout.
    """

    files: Mapping[str, bytes]
    shape: tuple[int, ...]

    @property
    def size_bytes(self) -> int:
        """Bytes of all files."""
        return sum(map(len, self.files.values()))


@dataclass(frozen=True)
class Quantization:
    """Options of a post-training quantisation to int8.

    Attributes:
        per_channel: each output channel of a weight has its own scale, else the whole weight has one.
        calibration: range of an activation over the calibration images: ``minmax``, or ``percentile``
            (without the outermost values).
        narrow: weights of 7 bits, for processors whose int8 instructions overflow (x86 without VNNI).
        float_layers: names of layers that stay in float.
    """

    per_channel: bool = True
    calibration: str = "minmax"
    narrow: bool = False
    float_layers: tuple[str, ...] = ()

    def __str__(self) -> str:
        weights = "per channel" if self.per_channel else "per tensor"
        bits = ", 7-bit weights" if self.narrow else ""
        kept = len(self.float_layers)
        layers = f", {kept} {'layer' if kept == 1 else 'layers'} in float" if kept else ""
        return f"{weights}, {self.calibration}{bits}{layers}"


class Target(ABC):
    """A runtime at a precision: converts networks, and names the program that runs them on a device.

    Attributes:
        precision: ``float32`` or ``int8``, of weights and activations.
        layout: order of the input's dimensions, ``NCHW`` or ``NHWC``.
        runner: self-contained Python file that opens models on the device; needs numpy and the runtime
            only. It defines ``version() -> str``, ``open_model(files, threads)``, which returns a
            function from an image to its logits, ``PACKAGE`` to install, and ``OWN_THREADS = True``
            where the runtime computes in threads of its own.
        modules: that converting imports, beside Minnow's own dependencies.
        extra: of Minnow's package that installs them.
        apart: converting runs in a process of its own, where crashes and imports stay.
        weight_bytes: that a weight takes in the file.
        channel_bytes: that an output channel of a convolution takes beside its weights: bias and scales.
        hard_swish_bytes: that a channel of a hard-swish takes.
    """

    precision: ClassVar[str] = FLOAT
    layout: ClassVar[str] = "NCHW"
    runner: ClassVar[Path]
    modules: ClassVar[tuple[str, ...]] = ()
    extra: ClassVar[str | None] = None
    apart: ClassVar[bool] = True
    weight_bytes: ClassVar[int] = 4
    channel_bytes: ClassVar[int] = 4
    hard_swish_bytes: ClassVar[int] = 0

    @abstractmethod
    def convert(
        self, network: nn.Module, example: torch.Tensor, images: np.ndarray
    ) -> Mapping[str, bytes]:
        """Return the files of a model, by name; the first is the one to open.

        Args:
            network: in eval mode, on the CPU; maps images in 0..1 to logits, its normalisation included.
            example: input of the network, ``(1, C, r, r)`` float32.
            images: to calibrate a quantisation with, ``(n, C, r, r)`` float32 in 0..1.
        """

    def flash_kb(self, architecture: Architecture, num_classes: int) -> float:
        """Return the size of the weights as the target stores them, in units of 1,024 bytes."""
        size = weight_bytes(
            architecture,
            num_classes,
            per_weight=self.weight_bytes,
            per_channel=self.channel_bytes,
            per_hard_swish=self.hard_swish_bytes,
        )
        return size / _KB

    def ram_kb(self, architecture: Architecture, num_classes: int) -> float:
        """Return the peak of live activations at the target's precision, in units of 1,024 bytes."""
        return peak_activations(architecture, num_classes) * _VALUE_BYTES[self.precision] / _KB

    def costs(
        self, architecture: Architecture, num_classes: int, memory: Collection[str] = MEMORY
    ) -> dict[str, float]:
        """Return the metrics in closed form.

        Args:
            architecture: the network.
            num_classes: width of its classifier.
            memory: those of flash_kb and ram_kb to return beside params and macs; they take the longest.
        """
        total = cost(architecture, num_classes)
        sizes = {"flash_kb": self.flash_kb, "ram_kb": self.ram_kb}
        named = {name: of(architecture, num_classes) for name, of in sizes.items() if name in memory}
        return {"params": total.params, "macs": total.macs, **named}

    def check(self) -> None:
        """Check that the packages for converting are installed.

        Raises:
            UserError: one is missing; says how to install it.
        """
        for module in self.modules:
            if importlib.util.find_spec(module) is None:
                install = f"pip install 'minnow[{self.extra}]'" if self.extra else f"pip install {module}"
                raise UserError(f"{module} is not installed, which converts the network: {install}")


class Int8Target(Target):
    """A target of int8 weights and activations, by post-training quantisation.

    Attributes:
        recipes: quantisations that this target knows, the usual one first.
        float_target: name of the target of the same runtime in float32, to compare with; ``None``: there
            is none.
    """

    precision = INT8
    weight_bytes = 1
    channel_bytes = 4 + 4 + 1  # bias, scale, zero point
    recipes: ClassVar[tuple[Quantization, ...]] = (Quantization(),)
    float_target: ClassVar[str | None] = None

    def __init__(self, quantization: Quantization | None = None) -> None:
        self.quantization = quantization or self.recipes[0]

    def layers(self, network: nn.Module, example: torch.Tensor) -> tuple[str, ...]:
        """Return the names of the layers that can stay in float; none where a target cannot do that.

        Args:
            network: as for :meth:`convert`.
            example: as for :meth:`convert`.
        """
        return ()
