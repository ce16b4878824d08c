"""Targets of ONNX Runtime on the CPU."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from deploy.targets.base import RUNNERS, Int8Target, Quantization, Target
from training.onnx_graph import INPUT, onnx_runtime, traced

OUTPUT = "logits"
_FILE = "model.onnx"
_LAYERS = ("Conv", "Gemm", "MatMul")


class OnnxRuntime(Target):
    """ONNX Runtime on the CPU, float32."""

    runner = RUNNERS / "run_onnxruntime.py"
    apart = False  # the exporter is torch's own

    def convert(
        self, network: nn.Module, example: torch.Tensor, images: np.ndarray
    ) -> Mapping[str, bytes]:
        """Return ``model.onnx``."""
        return {_FILE: traced(network, example, [OUTPUT])}


class OnnxRuntimeInt8(Int8Target):
    """ONNX Runtime on the CPU, int8: a static quantisation with QDQ operators.

    Operations without a kernel in int8 are replaced where others do the same
    (:mod:`deploy.targets.int8_graph`).
    """

    runner = RUNNERS / "run_onnxruntime.py"
    float_target = "onnxruntime"
    channel_bytes = 17  # bias, its zero point and scale (4 each); scale (4) and zero point of weights
    hard_swish_bytes = 5  # weight and bias (4)
    recipes = (
        Quantization(narrow=True),
        Quantization(),
        Quantization(narrow=True, calibration="percentile"),
        Quantization(narrow=True, per_channel=False),
    )

    def convert(
        self, network: nn.Module, example: torch.Tensor, images: np.ndarray
    ) -> Mapping[str, bytes]:
        """Return ``model.onnx``."""
        onnx_runtime()  # first, since this switches its telemetry off
        from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static

        from deploy.targets.int8_graph import with_int8_operations

        methods = {
            "minmax": CalibrationMethod.MinMax,
            "percentile": CalibrationMethod.Percentile,
        }
        with tempfile.TemporaryDirectory(prefix="minnow-") as folder:
            before, after = Path(folder) / "float.onnx", Path(folder) / _FILE
            content, equal = with_int8_operations(_simplified(traced(network, example, [OUTPUT])))
            before.write_bytes(content)
            one_scale = {"quant_type": QuantType.QInt8, "symmetric": True}
            quantize_static(
                before,
                after,
                _reader(images),
                quant_format=QuantFormat.QDQ,
                per_channel=self.quantization.per_channel,
                reduce_range=self.quantization.narrow,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                calibrate_method=methods[self.quantization.calibration],
                nodes_to_exclude=list(self.quantization.float_layers),
                extra_options={"TensorQuantOverrides": {name: [one_scale] for name in equal}},
            )
            return {_FILE: _compact(after.read_bytes())}

    def layers(self, network: nn.Module, example: torch.Tensor) -> tuple[str, ...]:
        """Return the names of convolutions and linear layers."""
        import onnx

        graph = onnx.load_from_string(_simplified(traced(network, example, [OUTPUT]))).graph
        return tuple(node.name for node in graph.node if node.op_type in _LAYERS)


def _simplified(content: bytes) -> bytes:
    """Return a graph with constants folded and shapes inferred, as a quantisation needs it."""
    import onnx

    onnx_runtime()  # first, since this switches its telemetry off
    from onnxruntime.quantization.shape_inference import quant_pre_process

    with tempfile.TemporaryDirectory(prefix="minnow-") as folder:
        path = Path(folder) / _FILE
        quant_pre_process(onnx.load_from_string(content), path, skip_symbolic_shape=True)
        return path.read_bytes()


def _compact(content: bytes) -> bytes:
    """Return a graph with short names: a quantised one names every tensor five times."""
    import onnx

    model = onnx.load_from_string(content)
    graph = model.graph
    short = {each.name: each.name for each in (*graph.input, *graph.output)} | {"": ""}
    for node in graph.node:
        node.name = node.doc_string = ""
        for names in (node.input, node.output):
            names[:] = [short.setdefault(name, f"t{len(short)}") for name in names]
    for tensor in graph.initializer:
        tensor.name = short.setdefault(tensor.name, f"t{len(short)}")
    graph.ClearField("value_info")
    return bytes(model.SerializeToString())


def _reader(images: np.ndarray) -> Any:
    """Return the calibration images as ONNX Runtime reads them, one by one."""
    from onnxruntime.quantization import CalibrationDataReader

    class Reader(CalibrationDataReader):  # type: ignore[misc]  # the base is untyped
        """Yields one image at a time."""

        def __init__(self) -> None:
            self._images: Iterator[np.ndarray] = iter(images)

        def get_next(self) -> dict[str, np.ndarray] | None:
            """Return the next input; ``None`` at the end."""
            image = next(self._images, None)
            return None if image is None else {INPUT: image[None]}

    return Reader()
