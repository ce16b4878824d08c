"""Targets of LiteRT (formerly TensorFlow Lite) on the CPU, whose images are channels last."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import nn

from deploy.targets.base import RUNNERS, Int8Target, Target

_FILE = "model.tflite"
_RUNNER = RUNNERS / "run_litert.py"
_FLOAT = ("INPUT", "OUTPUT", "HARD_SWISH")  # the last has no fast int8 operation


class LiteRt(Target):
    """LiteRT on the CPU (XNNPACK), float32."""

    layout = "NHWC"
    runner = _RUNNER
    modules = ("litert_torch", "ai_edge_litert")
    extra = "litert"

    def convert(
        self, network: nn.Module, example: torch.Tensor, images: np.ndarray
    ) -> Mapping[str, bytes]:
        """Return ``model.tflite``."""
        return {_FILE: _compact(_converted(network, example))}


class LiteRtInt8(Int8Target):
    """LiteRT on the CPU, int8: a static quantisation by ai-edge-quantizer, input and output in float."""

    layout = "NHWC"
    runner = _RUNNER
    modules = ("litert_torch", "ai_edge_litert", "ai_edge_quantizer")
    extra = "litert"
    float_target = "litert"
    channel_bytes = 28  # bias; scales and 64-bit zero points of weights and bias

    def convert(
        self, network: nn.Module, example: torch.Tensor, images: np.ndarray
    ) -> Mapping[str, bytes]:
        """Return ``model.tflite``."""
        content = _converted(network, example)
        from ai_edge_litert.interpreter import Interpreter
        from ai_edge_quantizer import calibrator, qtyping, quantizer, recipe
        from ai_edge_quantizer.algorithm_manager import AlgorithmName

        ((signature, parts),) = Interpreter(model_content=content).get_signature_list().items()
        whole = quantizer.Quantizer(bytearray(content), recipe.static_wi8_ai8())
        for name in _FLOAT:
            whole.update_quantization_recipe(
                regex=".*",
                operation_name=qtyping.TFLOperationName(name),
                algorithm_key=AlgorithmName.NO_QUANTIZE,
            )
        samples = [{parts["inputs"][0]: image[None]} for image in _channels_last(images)]
        ranges = whole.calibrate(
            {signature: samples},
            num_threads=1,
            mode=calibrator.CalibrationMode.CALIBRATION_PROFILER_BASED,  # a fifth of the usual time
        )
        return {_FILE: _compact(whole.quantize(ranges).quantized_model)}


def _converted(network: nn.Module, example: torch.Tensor) -> bytes:
    """Return the float model; the last one is kept, since it takes 20 seconds of a core."""
    content = io.BytesIO()
    torch.save(network, content)
    return _model(content.getvalue(), tuple(example.shape))


@lru_cache(maxsize=1)
def _model(content: bytes, shape: tuple[int, ...]) -> bytes:
    import litert_torch

    network = torch.load(io.BytesIO(content), weights_only=False)  # as saved above
    example = torch.zeros(shape)
    wrapped = litert_torch.to_channel_last_io(network, args=[0]).eval()
    model = litert_torch.convert(wrapped, (example.permute(0, 2, 3, 1).contiguous(),))
    with tempfile.TemporaryDirectory(prefix="minnow-") as folder:
        path = Path(folder) / _FILE
        model.export(str(path))
        return path.read_bytes()


def _compact(content: bytes | bytearray) -> bytes:
    """Return a model without the names of its tensors and signatures."""
    from ai_edge_litert.tools import flatbuffer_utils

    model = flatbuffer_utils.convert_bytearray_to_object(bytearray(content))
    for buffer in model.buffers:
        if buffer.offset:  # a quantised model can have its weights behind the tables
            buffer.data = np.frombuffer(content, np.uint8, buffer.size, buffer.offset)
            buffer.offset = buffer.size = 0
    flatbuffer_utils.strip_strings(model)
    return bytes(flatbuffer_utils.convert_object_to_bytearray(model))


def _channels_last(images: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(images.transpose(0, 2, 3, 1))
