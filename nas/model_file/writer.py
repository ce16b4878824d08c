"""Writing of model files: from layers to content and text."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from nas.layers import CLASSIFIERS, Bottleneck, Layer, make_divisible
from nas.model_file.rows import layer_from_row, row_of_layer
from nas.shapes import Shape

_SCHEMA = 2  # tells these files from those of the first writer, see nas.model_file.schema


def model_content(
    layers: Sequence[Layer],
    shapes: Sequence[Shape],
    *,
    resolution: int,
    input_channels: int,
    base: str | None,
    num_classes: int | None,
) -> dict[str, Any]:
    """Return the content of a model file, which :func:`parse_model` reads back to equal layers.

    Args:
        layers: from input to logits.
        shapes: input shape of each layer, ``(channels, height, width)``.
        resolution: side of the square input image, pixels.
        input_channels: 3 for RGB.
        base: name of the pretrained network that this one inherits from, if any.
        num_classes: width of the classifier, for readers that need the number.

    Raises:
        ValueError: a block has channels that a row cannot express; names the layer.
    """
    rows: list[list[Any]] = []
    repeat = 1
    for index, layer in enumerate(layers):
        if _only_repeated(layers, shapes, index):
            repeat += 1
            continue
        module, args = row_of_layer(layer, shapes[index][0])
        if isinstance(layer, CLASSIFIERS):
            args[0] = num_classes
        elif layer_from_row([1, module, args], shapes[index][0], 1.0, 1.0) != [layer]:
            raise ValueError(
                f"layer {index}, {module} {args}, cannot be expressed in a model file: "
                "its channels are rounded to a multiple of 8"
            )
        rows.append([repeat, module, args])
        repeat = 1
    return {
        "schema": _SCHEMA,
        "resolution": resolution,
        "input_channel": input_channels,
        "depth_multiple": 1.0,
        "width_multiple": 1.0,
        **({} if base is None else {"base": base}),
        "backbone": rows,
    }


def model_text(content: Mapping[str, Any]) -> str:
    """Return the YAML text of what :func:`model_content` returns: one line per row."""
    lines = [f"{name}: {json.dumps(value)}" for name, value in content.items() if name != "backbone"]
    rows = [f"  - [{repeat}, {module}, {_yaml(args)}]" for repeat, module, args in content["backbone"]]
    return "\n".join([*lines, "backbone:  # [repeat, module, args]", *rows]) + "\n"


def _yaml(args: list[Any]) -> str:
    """Return arguments in one line of YAML 1.1, which reads 1e-05 as text and 1.0e-05 as a number."""
    return re.sub(r"(?<![\w.])(\d+)e-", r"\1.0e-", json.dumps(args))


def _only_repeated(layers: Sequence[Layer], shapes: Sequence[Shape], index: int) -> bool:
    """Tell if only the next row's repeat can express a layer: a Bottleneck of uncommon width."""
    layer = layers[index]
    if not isinstance(layer, Bottleneck) or make_divisible(layer.out) == layer.out:
        return False
    following = layers[index + 1]  # there is one: a classifier comes last
    alike = isinstance(following, Bottleneck) and following == replace(layer, out=following.out)
    return alike and layer.out == shapes[index][0]
