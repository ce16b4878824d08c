"""Asking a frozen network about a batch, on the runtime that answers fastest."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import nn

from core.errors import UserError
from training.onnx_graph import INPUT, gaps, open_session, traced
from training.signals import Kind, Signals, signals_of, with_logits

_CHECKED = 3  # images that are compared

InferenceFunction = Callable[[torch.Tensor], Signals]


def inference_function(model: nn.Module, resolution: int, kinds: Sequence[Kind]) -> InferenceFunction:
    """What ``model`` says about images, as a function of a normalised batch ``(B, 3, r, r)``.

    On a CPU it is ONNX Runtime that answers, in as many threads as torch may use, since it folds batch
    norm into the convolutions and fuses what follows them: on one thread 1.1 (Swin-Tiny, ViT-Tiny) to
    2.4 times (EfficientNet-Lite0) as fast as torch. Elsewhere, and for a network that ONNX cannot say or
    that a trace gets wrong, it is torch.

    Args:
        model: frozen, in eval mode.
        resolution: side r of its input, pixels.
        kinds: what is wanted beside the logits.

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
    told = _Told(model, wanted)
    shape = (_CHECKED, 3, resolution, resolution)
    samples = np.random.default_rng(0).standard_normal(shape, np.float32)
    try:
        graph = traced(told, torch.from_numpy(samples), wanted)
        session = open_session(graph, threads=torch.get_num_threads())
        agree = all(gap.small for gap in gaps(session, told, samples, wanted))
    except UserError:
        raise
    except Exception:  # of two libraries, for whatever a network of anyone's may do
        return by_torch

    def by_onnx_runtime(images: torch.Tensor) -> Signals:
        answers = session.run(list(wanted), {INPUT: images.contiguous().numpy()})
        return Signals(
            **{kind: torch.from_numpy(each) for kind, each in zip(wanted, answers, strict=True)}
        )

    return by_onnx_runtime if agree else by_torch


class _Told(nn.Module):
    """A network that returns its signals as a tuple."""

    def __init__(self, network: nn.Module, kinds: Sequence[Kind]) -> None:
        super().__init__()
        self.network = network
        self.kinds = kinds
        self.eval()

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        signals = signals_of(self.network, images, self.kinds)
        return tuple(signals.get(kind) for kind in self.kinds)
