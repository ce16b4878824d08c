"""A network as plain data, and the model file (YAML) that holds it.

An :class:`Architecture` is a resolution and a flat list of layers with every multiple resolved:
repeats unrolled, channels rounded. It is frozen, hashable, compared by value, and checked when made,
so one that exists can be built. Nothing here needs torch.
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from nas.errors import UserError
from nas.layers import (
    Flatten,
    GlobalAvgPool,
    Layer,
    Linear,
    Shape,
    layer_from_row,
    output_shape,
    row_of_layer,
)


@dataclass(frozen=True)
class Architecture:
    """A classifier network.

    Attributes:
        resolution: side of the square input image, pixels.
        input_channels: 3 for RGB.
        layers: from input to logits; the last is ``Linear()``, whose width is the number of classes.
        base: name of the pretrained network this one inherits from, if any.

    Raises:
        ValueError: the layers do not fit together; the message names the layer.
    """

    resolution: int
    input_channels: int
    layers: tuple[Layer, ...]
    base: str | None = None

    def __post_init__(self) -> None:
        if self.resolution < 1 or self.input_channels < 1:
            raise ValueError(
                f"resolution and input_channels must be positive, "
                f"got {self.resolution} and {self.input_channels}"
            )
        kinds = [type(layer) for layer in self.layers]
        if not kinds or kinds[-1] is not Linear:
            raise ValueError("the last layer must be Linear: it gives one logit per class")
        if kinds.count(Linear) > 1:
            raise ValueError("only the last layer may be Linear")
        if kinds.count(GlobalAvgPool) != 1:
            raise ValueError("exactly one GlobalAvgPool must join the feature maps to the classifier")
        self.shapes  # noqa: B018  walking the shapes is the check

    @cached_property
    def shapes(self) -> tuple[Shape, ...]:
        """Input shape of each layer, ``(channels, height, width)``; one entry per layer."""
        shape: Shape = (self.input_channels, self.resolution, self.resolution)
        shapes = []
        for index, layer in enumerate(self.layers):
            shapes.append(shape)
            try:
                shape = output_shape(layer, shape)
            except ValueError as error:
                raise ValueError(f"layer {index} ({type(layer).__name__}): {error}") from None
        return tuple(shapes)

    @cached_property
    def key(self) -> str:
        """Content digest (16 hex digits): equal for equal networks, across processes and versions."""
        content = [
            self.resolution,
            self.input_channels,
            self.base,
            [[type(layer).__name__, *vars(layer).values()] for layer in self.layers],
        ]
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]

    @classmethod
    def from_yaml(cls, path: str | Path, *, resolution: int | None = None) -> Architecture:
        """Read a model file.

        Args:
            path: a YAML file with ``input_channel``, ``depth_multiple``, ``width_multiple`` and
                ``backbone: [[repeat, module, args], ...]``; ``resolution`` (or ``INPUT_SIZE``) and
                ``base`` are optional. The class count of the last ``Linear`` is the data's business
                and is not kept.
            resolution: overrides the file's; needed where the file gives none.

        Raises:
            UserError: the file is missing or malformed; names file, row and what was expected.
        """
        path = Path(path)
        content = _read(path)
        side = resolution or _resolution(path, content)
        depth = _number(path, content, "depth_multiple")
        width = _number(path, content, "width_multiple")
        channels = content.get("input_channel", 3)
        if type(channels) is not int or channels < 1:
            raise UserError(f"{path}: 'input_channel' must be a positive number, got {channels!r}")
        base = content.get("base")
        if base is not None and not isinstance(base, str):
            raise UserError(f"{path}: 'base' must be the name of a pretrained network, got {base!r}")
        rows = content.get("backbone")
        if not isinstance(rows, list) or not rows:
            raise UserError(f"{path}: 'backbone' must be a list of [repeat, module, args] rows")
        layers: list[Layer] = []
        shape: Shape = (channels, side, side)
        for number, row in enumerate(rows, start=1):
            try:
                made = layer_from_row(row, shape[0], depth, width)
                for layer in made:
                    shape = output_shape(layer, shape)
            except (ValueError, TypeError) as error:
                raise UserError(f"{path}, backbone row {number} {row}: {error}") from None
            layers.extend(made)
        try:
            return cls(side, channels, tuple(layers), base)
        except ValueError as error:
            raise UserError(f"{path}: {error}") from None

    def to_yaml(self, path: str | Path, *, num_classes: int | None = None) -> None:
        """Write the model file; :meth:`from_yaml` reads it back to an equal architecture.

        Args:
            path: file to write.
            num_classes: width of the last ``Linear``, for readers that need the number.
        """
        from nas.files import write_text

        write_text(Path(path), self.to_text(num_classes=num_classes))

    def to_text(self, *, num_classes: int | None = None) -> str:
        """The model file as text."""
        lines = [
            f"resolution: {self.resolution}",
            f"input_channel: {self.input_channels}",
            "depth_multiple: 1.0",
            "width_multiple: 1.0",
        ]
        if self.base is not None:
            lines.append(f"base: {json.dumps(self.base)}")
        lines.append("backbone:  # [repeat, module, args]")
        for layer in self.layers:
            module, args = row_of_layer(layer)
            if isinstance(layer, Linear):
                args = [num_classes]
            lines.append(f"  - [1, {module}, {json.dumps(args)}]")
        return "\n".join(lines) + "\n"


def classifier(
    resolution: int, body: tuple[Layer, ...], *, input_channels: int = 3, base: str | None = None
) -> Architecture:
    """A convolutional body followed by pooling and one linear layer."""
    head = (GlobalAvgPool(), Flatten(), Linear())
    return Architecture(resolution, input_channels, (*body, *head), base)


def _read(path: Path) -> dict[str, Any]:
    import yaml

    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"model file {path} does not exist; give the path of a YAML file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"model file {path} cannot be read: {error}") from None
    except yaml.YAMLError as error:
        reason = " ".join(str(error).split())
        raise UserError(f"model file {path} is not valid YAML: {reason}") from None
    if not isinstance(content, dict):
        raise UserError(f"model file {path}: expected a mapping with 'backbone', see docs")
    return content


def _resolution(path: Path, content: dict[str, Any]) -> int:
    value = content.get("resolution", content.get("INPUT_SIZE"))
    if isinstance(value, list) and value:
        value = value[0]
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise UserError(
            f"{path}: 'resolution' must be the side of the input image in pixels, got {value!r}"
        )
    return value


def _number(path: Path, content: dict[str, Any], name: str) -> float:
    value = content.get(name, 1.0)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
        raise UserError(f"{path}: '{name}' must be a positive number, got {value!r}")
    return float(value)
