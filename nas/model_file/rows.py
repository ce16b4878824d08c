"""Rows of the model file: ``[repeat, module, args]`` to layers and back.

The semantics (where a stride goes when a row repeats, how channels round) follow the schema of the
model-compression competitions exactly, because files written by others must give the same networks here.
"""

from __future__ import annotations

from typing import Any

from core.errors import short
from nas.layers import (
    Conv,
    ConvClassifier,
    Dense,
    InvertedResidualv2,
    InvertedResidualv3,
    Layer,
    Linear,
    MaxPool,
    MBConv,
)
from nas.model_file.row_arguments import RowArguments, whole
from nas.model_file.row_readers import READERS

_MAX_REPEAT = 1_000


def layer_from_row(
    row: Any, channels: int, depth: float, width: float, *, earlier: bool = False
) -> list[Layer]:
    """Return the layers of one ``[repeat, module, args]`` row.

    Args:
        row: as read from the file.
        channels: channels that come into the row.
        depth: ``depth_multiple``; repeats become ``max(round(repeat * depth), 1)`` where repeat > 1.
        width: ``width_multiple`` for channel arguments.
        earlier: read the row as the first writer meant it, see :mod:`nas.model_file.schema`.

    Raises:
        ValueError: unknown module, wrong arguments; says what was expected.
    """
    if not isinstance(row, list) or len(row) != 3 or not isinstance(row[2], list):
        raise ValueError("expected [repeat, module, [args]]")
    repeat, module, args = row
    if isinstance(repeat, bool) or not isinstance(repeat, int) or repeat < 1:
        raise ValueError(f"repeat must be a whole number of at least 1, got {short(repeat)}")
    if not isinstance(module, str) or module not in READERS:
        raise ValueError(f"unknown module {short(module)}; known: {', '.join(sorted(READERS))}")
    read, least, most, usage = READERS[module]
    if not least <= len(args) <= most:
        raise ValueError(f"{module} takes {usage}, got {len(args)} arguments")
    if max(repeat, repeat * depth) > _MAX_REPEAT:
        raise ValueError(f"a row may repeat at most {_MAX_REPEAT} times, got {short(repeat)}")
    if repeat > 1:
        repeat = max(round(repeat * depth), 1)
    return read(RowArguments(args, repeat, channels, width, earlier))


def classifier_from_row(row: Any, *, earlier: bool = False) -> tuple[Layer, int | None]:
    """Return the classifier that the last row with weights describes, and its stated width.

    Args:
        row: as read from the file; its width may be ``null``.
        earlier: as for :func:`layer_from_row`.

    Raises:
        ValueError: not a ``Linear``, ``Conv`` or ``FixedConv``, or its logits would not be plain numbers.
    """
    name = row[1] if isinstance(row, list) and len(row) == 3 else None
    if name not in ("Linear", "Conv", "FixedConv") or not isinstance(row[2], list):
        raise ValueError(
            "the last layer with weights must be Linear or Conv: it gives one logit per class"
        )
    if row[0] != 1 or isinstance(row[0], bool):
        raise ValueError(f"the classifier is there once: its repeat must be 1, got {short(row[0])}")
    width = row[2][0] if row[2] and row[2][0] is not None else None
    if width is not None:
        whole(width, "classes")
    if name == "Linear" and row[2][1:2] not in ([], [None]):
        raise ValueError(
            f"the classifier gives logits: its activation must be null, got {short(row[2][1])}"
        )
    layer = layer_from_row([1, name, [1, *row[2][1:]]], 1, 1.0, 1.0, earlier=earlier)[-1]
    if isinstance(layer, Dense):
        return Linear(), width
    if not isinstance(layer, Conv) or layer.groups != 1:
        raise ValueError("the classifier cannot have groups: the data set decides on its width")
    return ConvClassifier(layer.kernel, layer.stride, layer.pad, layer.activation), width


def row_of_layer(layer: Layer, channels: int) -> tuple[str, list[Any]]:
    """Return the module name and arguments that :func:`layer_from_row` reads back to ``layer``.

    A classifier is written with ``null`` for its width.

    Args:
        layer: to write.
        channels: that come in.
    """
    args: list[Any]
    match layer:
        case Conv():
            padding = _padding(layer.pad, layer.kernel)
            return "FixedConv", [
                layer.out, layer.kernel, layer.stride, padding, layer.groups, layer.activation
            ]  # fmt: skip
        case InvertedResidualv2():
            args = [layer.out, layer.expand, layer.stride]
            if (layer.kernel, layer.activation) != (3, "ReLU6"):
                args += [layer.kernel, layer.activation]
            return "InvertedResidualv2", args
        case InvertedResidualv3():
            flags = [int(layer.squeeze_excite), int(layer.hard_swish)]
            args = [layer.kernel, layer.expand, layer.out, *flags, layer.stride]
            if layer.gated_before(channels) != layer:
                args.append("after")
            return "InvertedResidualv3", args
        case MBConv():
            whole_expand = int(layer.expand) if layer.expand.is_integer() else layer.expand
            return "MBConv", [whole_expand, layer.out, layer.stride, layer.kernel]  # the scripts need it
        case Dense():
            return "Linear", [layer.out, layer.activation]
        case Linear():
            return "Linear", [None]
        case ConvClassifier():
            padding = _padding(layer.padding, layer.kernel)
            return "FixedConv", [None, layer.kernel, layer.stride, padding, 1, layer.activation]
        case MaxPool():
            args = [layer.kernel, layer.stride, layer.padding, layer.dilation, False, layer.ceil_mode]
            return "MaxPool", args
        case _:
            return type(layer).__name__, list(vars(layer).values())


def _padding(pad: int, kernel: int) -> int | list[int] | None:
    """Return a padding as every reader understands it: 0 is kernel // 2 to the scripts, [0] is none."""
    return None if pad == kernel // 2 else pad or [0]
