"""Opening the data set of a run."""

from __future__ import annotations

from functools import partial

import numpy as np

from core.config import DataConfig
from minnow.listener import Listener
from training.data.images import ImageSet, data_options, open_images


def open_data(config: DataConfig, listener: Listener) -> ImageSet:
    """Return the images, decoded now if they are not in the cache.

    Raises:
        UserError: there is no such data set, or it cannot be used.
    """
    report = partial(listener.count, "decoding images")
    data = open_images(config.spec, data_options(config), progress=report, warn=listener.warn)
    sizes = ", ".join(f"{len(indices):,} {part}" for part, indices in data.splits.items())
    broken = f", {len(data.broken)} broken files left out" if data.broken else ""
    listener.note(
        f"data: {data.name}, {data.num_classes} classes, {sizes}, stored at {data.size} px{broken}"
    )
    for note in data.notes:
        listener.note(f"data: {note}")
    return data


def reopen_data(config: DataConfig, unlabelled: np.ndarray) -> ImageSet:
    """Return images that another process has opened, from the cache.

    Args:
        config: their settings.
        unlabelled: ``(n,)`` of the images without labels to learn from.
    """
    data = open_images(config.spec, data_options(config))
    return data.resplit(unlabelled=unlabelled) if len(data.unlabelled) else data
