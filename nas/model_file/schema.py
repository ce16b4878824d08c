"""The schema of the model file, shared with the model-compression competitions.

A row means what it means to their scripts. In files that Minnow wrote before it added ``schema``, two
rows differ: a padding of 0 meant none, and the gate of ``InvertedResidualv3`` came after the activation.
Such files are recognised by their keys, which no file written by hand has, and keep their meaning.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.config import MAX_SIDE
from core.errors import UserError, short
from core.reading import mapping, read_yaml
from nas.layer_cost import layer_cost, widest
from nas.layers import AFTER_CLASSIFIER, Layer
from nas.model_file.rows import classifier_from_row, layer_from_row
from nas.shapes import Shape, output_shape

_MAX_LAYERS, _MAX_MULTIPLE = 2_000, 1_000
_MAX_PARAMS = 500_000_000  # an ONNX file holds 2 GB
_MAX_VALUES = 2**30  # of a feature map; 4 GB, more than networks of the spaces have at 4096 px
_KEYS_BEFORE_SCHEMA = {"resolution", "input_channel", "depth_multiple", "width_multiple", "backbone"}
_POOLS = {kind.__name__ for kind in AFTER_CLASSIFIER}


@dataclass(frozen=True)
class ModelFile:
    """The content of a model file, every multiple resolved.

    Attributes:
        path: the file.
        resolution: side of the square input image, pixels.
        input_channels: 3 for RGB.
        layers: from input to logits, for any number of classes.
        base: name of the pretrained network that this one inherits from, if any.
        classes: the width that the file gives its classifier, if any.
        states_resolution: whether the resolution is the file's own.
    """

    path: Path
    resolution: int
    input_channels: int
    layers: tuple[Layer, ...]
    base: str | None
    classes: int | None
    states_resolution: bool


def read_model(
    path: str | Path, *, resolution: int | None = None, default_resolution: int | None = None
) -> ModelFile:
    """Read a model file.

    Args:
        path: a YAML file with ``input_channel``, ``depth_multiple``, ``width_multiple`` and
            ``backbone: [[repeat, module, args], ...]``; ``resolution`` (or ``INPUT_SIZE``) and
            ``base`` are optional, other keys are left alone.
        resolution: overrides the file's, pixels.
        default_resolution: where the file gives none.

    Raises:
        UserError: the file is missing or malformed; names file, row and what was expected.
    """
    path = Path(path)
    return parse_model(_read(path), path, resolution=resolution, default_resolution=default_resolution)


def parse_model(
    content: Mapping[str, Any],
    path: Path,
    *,
    resolution: int | None = None,
    default_resolution: int | None = None,
) -> ModelFile:
    """Resolve the content of a model file.

    Args:
        content: as read from the file, or as :func:`model_content` returns it.
        path: of the file, for messages.
        resolution: overrides the content's, pixels.
        default_resolution: where the content gives none.

    Raises:
        UserError: malformed; names path, row and what was expected.
    """
    own = content.get("resolution", content.get("INPUT_SIZE"))
    stated = default_resolution if own is None else own
    side = _side(path, stated if resolution is None else resolution)
    depth, width = _number(path, content, "depth_multiple"), _number(path, content, "width_multiple")
    channels = content.get("input_channel", 3)
    if type(channels) is not int or channels < 1:
        raise UserError(f"{path}: 'input_channel' must be a positive number, got {short(channels)}")
    base = content.get("base")
    if base is not None and not isinstance(base, str):
        raise UserError(f"{path}: 'base' must be the name of a pretrained network, got {short(base)}")
    rows = content.get("backbone")
    if not isinstance(rows, list) or not rows:
        raise UserError(f"{path}: 'backbone' must be a list of [repeat, module, args] rows")
    earlier = _of_first_writer(content)
    last = max((index for index, row in enumerate(rows) if not _is_pool(row)), default=-1)
    layers: list[Layer] = []
    classes: int | None = None
    params = 0
    shape: Shape = (channels, side, side)
    for index, row in enumerate(rows):
        try:
            if index == last:
                classifier, classes = classifier_from_row(row, earlier=earlier)
                row_layers = [classifier]
            else:
                row_layers = layer_from_row(row, shape[0], depth, width, earlier=earlier)
            for layer in row_layers:
                _check_map(layer, shape)
                params += layer_cost(layer, shape, classes or 1).params
                shape = output_shape(layer, shape)
            if params > _MAX_PARAMS:
                raise ValueError(
                    f"{params / 1e6:,.0f} M parameters; at most {_MAX_PARAMS / 1e6:.0f} M fit"
                )
        except (ValueError, TypeError, OverflowError) as error:
            raise UserError(f"{path}, backbone row {index + 1} {short(row)}: {error}") from None
        layers.extend(row_layers)
        if len(layers) > _MAX_LAYERS:
            raise UserError(f"{path}: 'backbone' has more than {_MAX_LAYERS:,} layers")
    return ModelFile(path, side, channels, tuple(layers), base, classes, own is not None)


def _check_map(layer: Layer, shape: Shape) -> None:
    """Refuse a feature map that no computer of the users can hold.

    Raises:
        ValueError: it is too large.
    """
    channels, (_, height, width) = widest(layer, shape[0]), shape
    if channels * height * width > _MAX_VALUES:
        most = _MAX_VALUES // 10**6
        raise ValueError(f"{channels} channels of {width}x{height} pixels; at most {most} M values fit")


def _of_first_writer(content: Mapping[str, Any]) -> bool:
    """Tell a file that the first writer wrote."""
    if content.keys() - {"base"} != _KEYS_BEFORE_SCHEMA:
        return False
    multiples = [content["depth_multiple"], content["width_multiple"]]
    return multiples == [1.0, 1.0] and all(map(_is_row_of_first_writer, content["backbone"]))


def _is_row_of_first_writer(row: Any) -> bool:
    """Tell if the first writer may have written a row: complete FixedConv, expansions with a point."""
    if not isinstance(row, list) or len(row) != 3 or not isinstance(row[2], list):
        return False
    _, module, args = row
    match module:
        case "Conv" | "DWConv" | "Dropout":
            return False
        case "FixedConv":
            return len(args) == 6
        case "InvertedResidualv2" | "InvertedResidualv3":
            return isinstance(args[1] if len(args) > 1 else None, float)
        case _:
            return True


def _is_pool(row: Any) -> bool:
    return isinstance(row, list) and len(row) > 1 and isinstance(row[1], str) and row[1] in _POOLS


def _read(path: Path) -> Mapping[str, Any]:
    content = read_yaml(path, "model file", remedy="give the path of a model's YAML file")
    return mapping(content, f"model file {path}", "a mapping with 'backbone', see docs")


def _side(path: Path, value: Any) -> int:
    """Return the side of the input, which files may also give as height and width."""
    sides = value if isinstance(value, list) and value else [value]
    if any(isinstance(side, bool) or not isinstance(side, int) or side < 1 for side in sides):
        raise UserError(
            f"{path}: 'resolution' must be the side of the input image in pixels, got {short(value)}"
        )
    if len(set(sides)) > 1:
        raise UserError(f"{path}: input images are square here, got a resolution of {short(value)}")
    if sides[0] > MAX_SIDE:
        raise UserError(f"{path}: 'resolution' must be at most {MAX_SIDE} pixels, got {short(value)}")
    return int(sides[0])


def _number(path: Path, content: Mapping[str, Any], name: str) -> float:
    value = content.get(name, 1.0)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
        raise UserError(f"{path}: '{name}' must be a positive number, got {short(value)}")
    if value > _MAX_MULTIPLE:
        raise UserError(f"{path}: '{name}' must be at most {_MAX_MULTIPLE:,}, got {short(value)}")
    return float(value)
