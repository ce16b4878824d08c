"""Teacher inference: ONNX Runtime on the CPU where the traced graph matches PyTorch, else PyTorch."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import nn

from core.errors import UserError
from training.onnx_graph import INPUT, gaps, open_session, traced
from training.signals import Kind, Signals, signals_of, with_logits

_COMPARED_IMAGES = 3

InferenceFunction = Callable[[torch.Tensor], Signals]


def inference_function(model: nn.Module, resolution: int, kinds: Sequence[Kind]) -> InferenceFunction:
    """Return a function from a normalised batch ``(B, 3, r, r)`` to the signals of ``model``.

    On a CPU it runs ONNX Runtime, in as many threads as torch may use: that folds batch norm into the
    convolutions and fuses the operators behind them, which on one thread is 1.1 (Swin-Tiny, ViT-Tiny) to
    2.4 times (EfficientNet-Lite0) as fast as torch. On other devices, and for a network that cannot be
    exported or whose graph gives other outputs, it runs torch.

    Args:
        model: frozen, in eval mode.
        resolution: side r of its input, pixels.
        kinds: signals beside the logits.

    Raises:
        UserError: the model has no such features.
    """
    wanted = with_logits(kinds)

    def by_torch(images: torch.Tensor) -> Signals:
        with torch.no_grad():
            return signals_of(model, images, wanted)

    weight = next(model.parameters())
    if weight.device.type != "cpu" or weight.dtype != torch.float32:
        return by_torch
    network = _SignalTuple(model, wanted)
    shape = (_COMPARED_IMAGES, 3, resolution, resolution)
    samples = np.random.default_rng(0).standard_normal(shape, np.float32)
    try:
        graph = traced(network, torch.from_numpy(samples), wanted)
        session = open_session(graph, threads=torch.get_num_threads())
        agree = all(gap.small for gap in gaps(session, network, samples, wanted))
    except UserError:
        raise
    except Exception:  # an exporter and a runtime may raise anything for a network of anyone's
        return by_torch

    def by_onnx_runtime(images: torch.Tensor) -> Signals:
        outputs = session.run(list(wanted), {INPUT: images.contiguous().numpy()})
        return Signals(
            **{kind: torch.from_numpy(output) for kind, output in zip(wanted, outputs, strict=True)}
        )

    return by_onnx_runtime if agree else by_torch


class _SignalTuple(nn.Module):
    """A network that returns its signals as a tuple, as an export needs them."""

    def __init__(self, network: nn.Module, kinds: Sequence[Kind]) -> None:
        super().__init__()
        self.network = network
        self.kinds = kinds
        self.eval()

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Return one tensor per kind."""
        signals = signals_of(self.network, images, self.kinds)
        return tuple(signals.get(kind) for kind in self.kinds)
