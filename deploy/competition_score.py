"""The score of a waste-sorting competition: one number for speed and quality.

Source: "Model Optimization", boostcamp AI Tech (stages.ai, 2021), six classes of TACO crops. A model is
scored by the time that it takes for all test images and by its macro-F1, against a reference model
with an F1 of 0.7 in 86.3 s. Less is better, and every model as good as the reference is at 1.5.

The time covers the work of a device for an image in memory: resize it to the network's input, scale and
normalise it, run the network on ONNX Runtime with one thread, take the largest logit. Decoding files is
not included. The clock is the thread's own, see :mod:`deploy.device.agent`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import nn

from core.config import ScoreConfig
from deploy.device.agent import WARM_UP_RUNS, thread_clock
from deploy.onnx_export import onnx_bytes
from training.data.images import ImageSet
from training.data.unlabelled import JoinedImages
from training.onnx_graph import INPUT, onnx_runtime, open_session
from training.preprocess import IMAGENET, Normalization, resize

_STEEPNESS = 20.0  # of the sigmoid, per unit of F1


def total_seconds(
    model: nn.Module,
    data: ImageSet,
    indices: np.ndarray,
    *,
    resolution: int,
    normalization: Normalization = IMAGENET,
) -> float:
    """Return the seconds to classify ``data.images[indices]`` one after the other, after a warm-up.

    Args:
        model: maps normalised ``(N, 3, resolution, resolution)`` to logits; never changed.
        data: the images.
        indices: ``(n,)`` of the images to classify.
        resolution: side of the network's input, pixels.
        normalization: of its input.
    """
    seconds, _ = timed_labels(
        onnx_bytes(model, resolution, normalization=normalization), data.images, indices, resolution
    )
    return float(seconds.sum())


def timed_labels(
    content: bytes, images: np.ndarray | JoinedImages, indices: np.ndarray, resolution: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the seconds ``(n,)`` and the class ``(n,)`` of each image.

    Args:
        content: of an ONNX file of :mod:`deploy.onnx_export`.
        images: ``(N, S, S, 3)`` uint8, RGB.
        indices: ``(n,)`` of the images to classify.
        resolution: side of the network's input, pixels.
    """
    session, clock = open_session(content), thread_clock()

    def classify(image: np.ndarray) -> int:
        pixels = resize(torch.from_numpy(image).permute(2, 0, 1)[None], resolution)
        inputs = pixels.contiguous().numpy().astype(np.float32) / np.float32(255.0)
        return int(session.run(None, {INPUT: inputs})[0][0].argmax())

    def pixels(position: int) -> np.ndarray:
        return images[indices[position : position + 1]][0]

    seconds, labels = np.empty(len(indices)), np.empty(len(indices), dtype=np.int64)
    with _one_torch_thread():
        for position in range(min(WARM_UP_RUNS, len(indices))):
            classify(pixels(position))
        for position in range(len(indices)):
            image = pixels(position)  # read from the memory map before the clock starts
            before = clock()
            labels[position] = classify(image)
            seconds[position] = clock() - before
    return seconds, labels


def runtime_name() -> str:
    """Return the runtime of a total time, e.g. ``onnxruntime 1.32.0 CPUExecutionProvider, 1 thread``."""
    return f"onnxruntime {onnx_runtime().__version__} CPUExecutionProvider, 1 thread"


@contextmanager
def _one_torch_thread() -> Iterator[None]:
    """Limit torch to this thread, whose clock then counts the resizing."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def competition_score(f1: float, total_seconds: float, reference: ScoreConfig) -> float:
    """Return ``time / time_ref + sigmoid(20 (f1_ref - f1))``; less is better.

    Args:
        f1: macro-F1, 0..1.
        total_seconds: time to classify all images, seconds.
        reference: F1 and time of the reference model, for as many images.
    """
    sigmoid = 1.0 / (1.0 + math.exp(-_STEEPNESS * (reference.f1 - f1)))
    return total_seconds / reference.time + sigmoid
