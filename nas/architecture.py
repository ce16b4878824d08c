"""A network as plain data.

An :class:`Architecture` is a resolution and a flat list of layers with every multiple resolved:
repeats unrolled, channels rounded. It is frozen, hashable, compared by value, and checked when made,
so one that exists can be built. Nothing here needs torch.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from core.config import MAX_SIDE
from core.errors import UserError
from core.files import write_text
from nas.layers import AFTER_CLASSIFIER, CLASSIFIERS, Flatten, GlobalAvgPool, Layer, Linear
from nas.model_file import ModelFile, model_content, model_text, parse_model, read_model
from nas.operations import Operation, layer_operations
from nas.shapes import Shape, check_flattening, output_shape


@dataclass(frozen=True)
class Architecture:
    """A classifier network.

    Attributes:
        resolution: side of the square input image, 1 to 4,096 pixels.
        input_channels: 3 for RGB.
        layers: from input to logits; one of them is the classifier, whose width is the number of classes.
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
        if self.resolution > MAX_SIDE:
            raise ValueError(f"resolution must be at most {MAX_SIDE} pixels, got {self.resolution}")
        classifiers = [i for i, layer in enumerate(self.layers) if isinstance(layer, CLASSIFIERS)]
        if len(classifiers) != 1:
            raise ValueError(f"exactly one layer must be the classifier, found {len(classifiers)}")
        for layer in self.layers[classifiers[0] + 1 :]:
            if not isinstance(layer, AFTER_CLASSIFIER):
                raise ValueError(
                    f"{type(layer).__name__} after the classifier: only pooling and Flatten may"
                )
        count, height, width = output_shape(self.layers[-1], self.shapes[-1])
        if (height, width) != (1, 1):
            raise ValueError(f"ends with {height}x{width} logits per class; add GlobalAvgPool")
        if count != 1:
            raise ValueError(f"ends with {count} logits per class; put GlobalAvgPool before Flatten")
        check_flattening(self.layers)

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

    def operations(self, num_classes: int) -> Iterator[Operation]:
        """Yield the operations of all layers, from input to logits.

        Args:
            num_classes: width of the classifier.
        """
        for layer, shape in zip(self.layers, self.shapes, strict=True):
            yield from layer_operations(layer, shape, num_classes)

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
        """Read a model file (:func:`nas.model_file.read_model`).

        Args:
            path: a YAML file with ``backbone: [[repeat, module, args], ...]``.
            resolution: overrides the file's; needed where the file gives none.

        Raises:
            UserError: the file is missing or malformed; names file, row and what was expected.
        """
        return cls.from_model_file(read_model(path, resolution=resolution))

    @classmethod
    def from_model_file(cls, model: ModelFile) -> Architecture:
        """Return the network of a model file that was read.

        Raises:
            UserError: its layers do not make a classifier; names the file.
        """
        try:
            return cls(model.resolution, model.input_channels, model.layers, model.base)
        except ValueError as error:
            raise UserError(f"{model.path}: {error}") from None

    def to_yaml(self, path: str | Path, *, num_classes: int | None = None) -> None:
        """Write the model file; :meth:`from_yaml` reads it back to an equal architecture.

        Args:
            path: file to write.
            num_classes: width of the classifier, for readers that need the number.
        """
        write_text(Path(path), self.to_text(num_classes=num_classes))

    def to_text(self, *, num_classes: int | None = None) -> str:
        """Return the model file as text.

        Raises:
            ValueError: a block has channels that a row cannot express; names the layer.
        """
        return model_text(self.to_content(num_classes=num_classes))

    @classmethod
    def from_content(cls, content: Mapping[str, Any], path: Path) -> Architecture:
        """Return the network that :meth:`to_content` describes.

        Args:
            content: plain data.
            path: of the file that holds it, for messages.

        Raises:
            UserError: malformed; names the path, the row and what was expected.
        """
        return cls.from_model_file(parse_model(content, path))

    def to_content(self, *, num_classes: int | None = None) -> dict[str, Any]:
        """Return the content of the model file as plain data, ready for JSON.

        Raises:
            ValueError: a block has channels that a row cannot express; names the layer.
        """
        return model_content(
            self.layers,
            self.shapes,
            resolution=self.resolution,
            input_channels=self.input_channels,
            base=self.base,
            num_classes=num_classes,
        )


def classifier(
    resolution: int, body: tuple[Layer, ...], *, input_channels: int = 3, base: str | None = None
) -> Architecture:
    """Return a convolutional body followed by pooling and one linear layer."""
    head = (GlobalAvgPool(), Flatten(), Linear())
    return Architecture(resolution, input_channels, (*body, *head), base)
