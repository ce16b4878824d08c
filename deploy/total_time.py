"""How long all images of a split take, one by one, from the stored bytes to the label.

Timed is what a device would do with an image that is in memory: resize it to the network's input, scale
and normalise it, run the network on ONNX Runtime with one thread, take the largest logit. Decoding files
is not part of it. The clock is the thread's own, see :mod:`deploy.latency_measurement`.
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
    """Seconds to classify ``data.images[indices]`` one after the other, after a warm-up.

    Args:
        model: maps normalised ``(N, 3, resolution, resolution)`` to logits; never changed.
        data: holds the images.
        indices: which of them, ``(n,)``.
        resolution: side of the network's input, pixels.
        normalization: what its input is normalised with.
    """
    seconds, _ = timed_labels(
        onnx_bytes(model, resolution, normalization=normalization), data.images, indices, resolution
    )
    return float(seconds.sum())


def timed_labels(
    content: bytes, images: np.ndarray, indices: np.ndarray, resolution: int
) -> tuple[np.ndarray, np.ndarray]:
    """Seconds ``(n,)`` for each image and its class ``(n,)``.

    Args:
        content: of an ONNX file as :mod:`deploy.onnx_export` writes it.
        images: ``(N, S, S, 3)`` uint8, RGB.
        indices: which of them, ``(n,)``.
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
        for place, index in enumerate(indices):
            image = np.array(images[index])  # from the memory map: reading the disk is not timed
            before = clock()
            labels[place] = classify(image)
            seconds[place] = clock() - before
    return seconds, labels


@contextmanager
def _one_torch_thread() -> Iterator[None]:
    """Resizing in this thread alone, where its clock counts it."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
