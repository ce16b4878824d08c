"""ONNX graphs in operations that ONNX Runtime computes in int8.

ONNX Runtime 1.32 has no int8 kernel for HardSigmoid, a part of hard-swish and of squeeze-excite, nor for
a mean over positions: each is computed in float, between two conversions. Other operations say the same;
what that saves is in ``docs/log.md``.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import NodeProto, TensorProto, helper, numpy_helper, shape_inference

_POSITIONS = [2, 3]  # axes of a feature map
_ALPHA, _BETA = 0.2, 0.5  # of HardSigmoid, where a node does not say


def with_int8_operations(content: bytes) -> tuple[bytes, list[str]]:
    """Return a float graph with other operations for those that have no kernel in int8.

    HardSigmoid, ``max(0, min(1, alpha * x + beta))``, becomes a convolution with a weight for each
    channel, and a Clip, which a quantisation turns into the range of the output. ReduceMean over all
    positions becomes GlobalAveragePool.

    Args:
        content: of the ONNX file, with constants folded.

    Returns:
        The graph, and the names of its new weights, each of which has equal values.
    """
    model = shape_inference.infer_shapes(onnx.load_from_string(content))
    graph = model.graph
    shapes = {
        value.name: [side.dim_value for side in value.type.tensor_type.shape.dim]
        for value in (*graph.value_info, *graph.input)
    }
    constants = {tensor.name: tensor for tensor in graph.initializer}
    nodes: list[NodeProto] = []
    weights: list[str] = []
    for node in graph.node:
        shape = shapes.get(node.input[0], []) if node.input else []
        if node.op_type == "HardSigmoid" and len(shape) == 4 and shape[1]:
            line, added = _clipped_line(node, shape[1])
            nodes += line
            graph.initializer.extend(added)
            weights.append(added[0].name)
        elif _is_mean_over_positions(node, constants) and len(shape) == 4:
            name = f"{node.output[0]}_mean"
            nodes.append(helper.make_node("GlobalAveragePool", node.input[:1], node.output, name=name))
        else:
            nodes.append(node)
    del graph.node[:]
    graph.node.extend(nodes)
    used = {name for node in nodes for name in node.input}
    kept = [tensor for tensor in graph.initializer if tensor.name in used]
    del graph.initializer[:]
    graph.initializer.extend(kept)
    return model.SerializeToString(), weights


def _clipped_line(node: NodeProto, channels: int) -> tuple[list[NodeProto], list[TensorProto]]:
    """Return the operations that replace a HardSigmoid, and their constants, the weight first."""
    (image,), (output,) = node.input, node.output
    given = {attribute.name: attribute.f for attribute in node.attribute}
    values = {
        "weight": np.full((channels, 1, 1, 1), given.get("alpha", _ALPHA)),
        "bias": np.full(channels, given.get("beta", _BETA)),
        "low": np.array(0.0),
        "high": np.array(1.0),
    }
    added = [
        numpy_helper.from_array(value.astype(np.float32), f"{output}_{name}")
        for name, value in values.items()
    ]
    weight, bias, low, high = (tensor.name for tensor in added)
    line = f"{output}_line"
    convolution = helper.make_node(
        "Conv", [image, weight, bias], [line], name=line, group=channels, kernel_shape=[1, 1]
    )
    clip = helper.make_node("Clip", [line, low, high], [output], name=f"{line}_clip")
    return [convolution, clip], added


def _is_mean_over_positions(node: NodeProto, constants: dict[str, TensorProto]) -> bool:
    if node.op_type != "ReduceMean" or len(node.input) < 2 or node.input[1] not in constants:
        return False
    kept = next((attribute.i for attribute in node.attribute if attribute.name == "keepdims"), 1)
    axes = numpy_helper.to_array(constants[node.input[1]])
    return kept == 1 and sorted(axis % 4 for axis in axes.tolist()) == _POSITIONS
