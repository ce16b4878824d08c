"""Converting networks in a process of its own, so that converters' imports and crashes stay there."""

from __future__ import annotations

import atexit
import io
import multiprocessing
import os
import pickle
import threading
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import numpy as np
import torch
from torch import nn

from core.errors import UserError, one_line
from core.plugins import file_of, load_file
from deploy.device.link import ModelError
from deploy.fixed_paddings import fix_paddings
from deploy.onnx_export import NormalizedNetwork
from deploy.targets.base import ConvertedModel, Target
from training.preprocess import IMAGENET, Normalization

_IMAGES = 8  # random ones, to calibrate a network without images with

_pool: ProcessPoolExecutor | None = None
_lock = threading.Lock()


def convert(
    target: Target,
    network: nn.Module,
    resolution: int,
    *,
    input_channels: int = 3,
    normalization: Normalization = IMAGENET,
    images: np.ndarray | None = None,
) -> ConvertedModel:
    """Convert a network, with its normalisation, to the format of a target.

    Args:
        target: what to convert for.
        network: maps normalised ``(N, input_channels, r, r)`` to logits; it is not changed.
        resolution: side r of the input, pixels.
        input_channels: channels of the input.
        normalization: of the network's input; becomes a part of the model.
        images: to calibrate a quantisation with, ``(n, C, r, r)`` float32 in 0..1; ``None``: random ones,
            for a model that is only measured.

    Raises:
        UserError: a package for converting is missing.
        ModelError: the converter fails or crashes.
    """
    target.check()
    example = torch.zeros(1, input_channels, resolution, resolution)
    if images is None:
        images = np.random.default_rng(0).random((_IMAGES, *example.shape[1:]), dtype=np.float32)
    whole = NormalizedNetwork.of(network, normalization, input_channels)
    whole.network = fix_paddings(whole.network, resolution, input_channels=input_channels)
    files = (
        _apart(target, whole, example, images) if target.apart else _here(target, whole, example, images)
    )
    return ConvertedModel(dict(files), input_shape(target, resolution, input_channels))


def input_shape(target: Target, resolution: int, channels: int = 3) -> tuple[int, ...]:
    """Return the shape of a model's input, in the layout of its target."""
    sides = (resolution, resolution)
    return (1, channels, *sides) if target.layout == "NCHW" else (1, *sides, channels)


def _here(
    target: Target, network: nn.Module, example: torch.Tensor, images: np.ndarray
) -> Mapping[str, bytes]:
    with torch.random.fork_rng(devices=[]):  # must not shift the weights training draws
        return target.convert(network, example, images)


def _apart(
    target: Target, network: nn.Module, example: torch.Tensor, images: np.ndarray
) -> Mapping[str, bytes]:
    """Convert in the other process, which stays for the next network."""
    content = io.BytesIO()
    torch.save(network, content)
    arguments = (file_of(type(target)), pickle.dumps(target), content.getvalue(), example.shape, images)
    with _lock:
        try:
            return _other_process().submit(_convert, *arguments).result()
        except BrokenProcessPool:
            _end()
            raise ModelError("the converter crashed") from None


def _convert(
    plugin: Path | None, pickled: bytes, content: bytes, shape: tuple[int, ...], images: np.ndarray
) -> Mapping[str, bytes]:
    """Convert in this process.

    Args:
        plugin: file that the class of the target is in; ``None``: it can be imported.
        pickled: the target.
        content: the network.
        shape: of its input.
        images: to calibrate with.
    """
    if plugin is not None:
        load_file("target", plugin)
    target: Target = pickle.loads(pickled)
    network = torch.load(io.BytesIO(content), weights_only=False)  # of the process that started this one
    try:
        return dict(target.convert(network, torch.zeros(shape), images))
    except UserError:
        raise
    except Exception as error:  # of a converter, about a network; its class may not be known over there
        raise ModelError(f"it cannot be converted: {type(error).__name__}: {one_line(error)}") from None


def _other_process() -> ProcessPoolExecutor:
    global _pool
    if _pool is None:
        context = multiprocessing.get_context("spawn")
        _pool = ProcessPoolExecutor(1, mp_context=context, initializer=_start)
        atexit.register(_end)
    return _pool


def _end() -> None:
    global _pool
    if _pool is not None:
        _pool.shutdown(wait=False, cancel_futures=True)
        _pool = None


def _start() -> None:
    """Silence converters, and end with the process that started this one."""
    null = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(null, stream)
    torch.set_num_threads(1)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
