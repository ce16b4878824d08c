"""Graphs of ONNX Runtime's int8 target: the same outputs, in operations that have kernels in int8."""

from collections import Counter

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from deploy.targets.conversion import convert
from deploy.targets.int8_graph import with_int8_operations
from deploy.targets.onnx_runtime import OnnxRuntimeInt8, _simplified
from training.onnx_graph import traced

SIDE = 32


class Means(nn.Module):
    """Means and a gate of another form, which stay."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        rows = images.mean(3)
        whole = images.mean((2, 3))
        return torch.cat([rows.flatten(1), nn.functional.hardsigmoid(whole)], 1)


def kinds(content: bytes) -> Counter[str]:
    return Counter(node.op_type for node in onnx.load_from_string(content).graph.node)


def outputs(content: bytes, images: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(content)
    (logits,) = session.run(None, {session.get_inputs()[0].name: images})
    return logits


def test_outputs_are_the_same(network):
    example = torch.rand(1, 3, SIDE, SIDE)
    before = _simplified(traced(network, example, ["logits"]))  # hard-swish is HardSigmoid and a product
    after, weights = with_int8_operations(before)
    gates = kinds(before)["HardSigmoid"]
    assert gates > 2 and kinds(before)["ReduceMean"] == 1
    assert not {"HardSigmoid", "ReduceMean"} & kinds(after).keys()
    assert kinds(after)["Conv"] == kinds(before)["Conv"] + gates == kinds(before)["Conv"] + len(weights)
    onnx.checker.check_model(onnx.load_from_string(after), full_check=True)
    images = np.random.default_rng(0).random((1, 3, SIDE, SIDE), dtype=np.float32)
    logits = outputs(before, images)
    assert logits.std() > 0
    np.testing.assert_allclose(outputs(after, images), logits, atol=1e-4 * logits.std())


@pytest.mark.parametrize(
    ("given", "alpha", "beta"), [({}, 0.2, 0.5), ({"alpha": 0.7, "beta": 0.1}, 0.7, 0.1)]
)
def test_slope_and_offset_are_those_of_the_node(given, alpha, beta):
    node = helper.make_node("HardSigmoid", ["x"], ["y"], **given)
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 2, 3, 3]) for name in "xy"]
    graph = helper.make_graph([node], "gate", ends[:1], ends[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    after, _ = with_int8_operations(model.SerializeToString())
    images = np.linspace(-4, 4, 18, dtype=np.float32).reshape(1, 2, 3, 3)
    np.testing.assert_allclose(outputs(after, images), np.clip(alpha * images + beta, 0, 1), atol=1e-6)


def test_other_forms_stay():
    before = _simplified(traced(Means(), torch.rand(1, 3, 8, 8), ["logits"]))
    after, weights = with_int8_operations(before)
    assert kinds(after) == kinds(before) and not weights
    assert kinds(before)["ReduceMean"] == 2


def test_only_the_ends_are_computed_in_float(network, as_loaded):
    """The optimised graph converts once to int8, after the normalisation, and once back, to logits."""
    (content,) = convert(OnnxRuntimeInt8(), network, SIDE).files.values()
    optimised = Counter(node.op_type for node in as_loaded(content, "EXTENDED").graph.node)
    assert optimised["QuantizeLinear"] == optimised["DequantizeLinear"] == 1
    assert not {"Conv", "Mul", "HardSigmoid", "ReduceMean", "Gemm"} & optimised.keys()


def test_a_weight_of_equal_values_has_one_scale(network):
    (content,) = convert(OnnxRuntimeInt8(), network, SIDE).files.values()
    graph = onnx.load_from_string(content).graph
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    scales = {node.output[0]: node.input[1] for node in graph.node if node.op_type == "DequantizeLinear"}
    weights = {node.output[0]: node.input[0] for node in graph.node if node.op_type == "DequantizeLinear"}
    gates = [
        name
        for node in graph.node
        if node.op_type == "Conv" and constants[weights[name := node.input[1]]].shape[1:] == (1, 1, 1)
    ]
    assert gates
    for name in gates:
        weight, scale = constants[weights[name]], constants[scales[name]]
        assert scale.size == 1 and np.unique(weight).size == 1
        assert float(weight.flat[0] * scale.flat[0]) == pytest.approx(1 / 6, rel=1e-6)
