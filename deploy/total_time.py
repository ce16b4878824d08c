"""The time for all images of a split, one by one, from the pixels in memory to the label.

It covers the work of a device for an image in memory: resize it to the network's input, scale and
normalise it, run the network on ONNX Runtime with one thread, take the largest logit. Decoding files is
not included. The clock is the thread's own, see :mod:`deploy.latency_measurement`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import nn

from deploy.latency_measurement import WARM_UP_RUNS, thread_clock
from deploy.onnx_export import onnx_bytes
from training.data.images import ImageSet
from training.onnx_graph import INPUT, open_session
from training.preprocess import IMAGENET, Normalization, resize


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
    content: bytes, images: np.ndarray, indices: np.ndarray, resolution: int
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

    seconds, labels = np.empty(len(indices)), np.empty(len(indices), dtype=np.int64)
    with _one_torch_thread():
        for index in indices[:WARM_UP_RUNS]:
            classify(np.array(images[index]))
        for position, index in enumerate(indices):
            image = np.array(images[index])  # read from the memory map before the clock starts
            before = clock()
            labels[position] = classify(image)
            seconds[position] = clock() - before
    return seconds, labels


@contextmanager
def _one_torch_thread() -> Iterator[None]:
    """Limit torch to this thread, whose clock then counts the resizing."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
