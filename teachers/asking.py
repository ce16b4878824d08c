"""Asking a frozen network about a batch, on the runtime that answers fastest."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import nn

from training.onnx_graph import INPUT, open_session, traced
from training.signals import Kind, Signals, signals_of

_TOLERANCE = 1e-3  # largest difference to PyTorch's answer, as a share of the largest value
_CHECKED = 3  # images that are compared

Ask = Callable[[torch.Tensor], Signals]


def asking(model: nn.Module, resolution: int, kinds: Sequence[Kind]) -> Ask:
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
    wanted: tuple[Kind, ...] = ("logits", *(kind for kind in kinds if kind != "logits"))

    def by_torch(images: torch.Tensor) -> Signals:
        with torch.no_grad():
            return signals_of(model, images, wanted)

    weight = next(model.parameters())
    if weight.device.type != "cpu" or weight.dtype != torch.float32:
        return by_torch
    random = np.random.default_rng(0)
    samples = torch.from_numpy(random.standard_normal((_CHECKED, 3, resolution, resolution), np.float32))
    batches = (samples, samples[:1])
    expected = [by_torch(batch) for batch in batches]
    try:
        by_runtime = _by_onnx_runtime(model, wanted, samples)
        answers = [by_runtime(batch) for batch in batches]
    except Exception:  # of two libraries, for whatever a network of anyone's may do
        return by_torch
    agree = all(
        _close(one.get(kind), other.get(kind))
        for one, other in zip(answers, expected, strict=True)
        for kind in wanted
    )
    return by_runtime if agree else by_torch


class _Told(nn.Module):
    """A network that returns its signals as a tuple."""

    def __init__(self, network: nn.Module, kinds: Sequence[Kind]) -> None:
        super().__init__()
        self.network = network
        self.kinds = tuple(kinds)

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        signals = signals_of(self.network, images, self.kinds)
        return tuple(signals.get(kind) for kind in self.kinds)


def _by_onnx_runtime(model: nn.Module, kinds: Sequence[Kind], example: torch.Tensor) -> Ask:
    told = _Told(copy.deepcopy(model), kinds).eval()
    session = open_session(traced(told, example, kinds), threads=torch.get_num_threads())

    def ask(images: torch.Tensor) -> Signals:
        answers = session.run(list(kinds), {INPUT: images.contiguous().numpy()})
        return Signals(
            **{kind: torch.from_numpy(each) for kind, each in zip(kinds, answers, strict=True)}
        )

    return ask


def _close(one: torch.Tensor, other: torch.Tensor) -> bool:
    scale = other.abs().max()
    return one.shape == other.shape and bool((one - other).abs().max() <= _TOLERANCE * scale)
