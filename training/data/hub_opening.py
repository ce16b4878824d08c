"""Opening what the Hugging Face library ``datasets`` reads: saved data sets, folders, and its hub.

https://huggingface.co/docs/datasets. From version 4 on the library runs no code of a data set.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from core.cache import expanded
from core.connection import reachable
from core.errors import UserError, one_line

HUB_PREFIX = "hf:"
_SAVED = ("state.json", "dataset_dict.json")  # that ``save_to_disk`` writes
_LOGGERS = ("datasets", "huggingface_hub", "fsspec")


def local_folder(name: str) -> Path | None:
    """Return the folder that a name means; ``None``: it is one of the hub's."""
    folder = expanded(name)
    return folder if name and folder.is_dir() else None


def open_splits(name: str, cache: Path) -> dict[str, Any]:
    """Return split → ``datasets.Dataset``, memory-mapped.

    Args:
        name: a folder, or a data set on the hub, maybe with a configuration as in ``NAME:CONFIG``.
        cache: directory for what the library prepares.

    Raises:
        UserError: the library is missing; there is no such data set; it cannot be read; no connection.
    """
    spec = f"{HUB_PREFIX}{name}"
    try:
        import datasets
    except ImportError:
        raise UserError(
            f"data set {spec} needs the package 'datasets'; pip install 'minnow[datasets]'"
        ) from None
    folder, prepared = local_folder(name), cache / "datasets"
    path, config = _on_hub(name) if folder is None else (str(folder), None)
    if folder is None:
        _check_hub(name, prepared)
    with _quiet():
        try:
            if folder is not None and any((folder / file).is_file() for file in _SAVED):
                opened = datasets.load_from_disk(path, keep_in_memory=False)
            else:
                opened = datasets.load_dataset(
                    path, config, cache_dir=str(prepared), keep_in_memory=False
                )
        except Exception as error:  # each reader of the library fails in its own way
            raise UserError(f"data set {spec} cannot be opened: {one_line(error)}") from error
    return {str(opened.split or "all"): opened} if isinstance(opened, datasets.Dataset) else dict(opened)


def _on_hub(name: str) -> tuple[str, str | None]:
    """Return the name of a data set on the hub, and that of its configuration, if it is given."""
    repository, _, config = name.partition(":")
    return repository, config or None


def _check_hub(name: str, prepared: Path) -> None:
    """Refuse a path to nothing, and a name that only the hub knows where it cannot be reached."""
    import datasets

    repository, _ = _on_hub(name)
    if expanded(name).is_file():
        raise UserError(
            f"data set {HUB_PREFIX}{name} is a file: give the folder of such files, as "
            f"{HUB_PREFIX}FOLDER, or a table of image paths without {HUB_PREFIX}"
        )
    if not repository or repository.startswith((".", "/", "~")) or repository.count("/") > 1:
        raise UserError(f"data set {HUB_PREFIX}{name}: there is no such folder")
    if (prepared / repository.replace("/", "___")).is_dir():
        return  # the library falls back on what it has prepared before
    if datasets.config.HF_HUB_OFFLINE or not reachable(datasets.config.HF_ENDPOINT):
        raise UserError(
            f"data set {HUB_PREFIX}{name}: there is no such folder, and {datasets.config.HF_ENDPOINT} "
            f"cannot be reached: connect to the Internet, or give a folder as {HUB_PREFIX}FOLDER"
        )


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the library's progress bars and warnings from the terminal."""
    from datasets.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars
    from tqdm import tqdm

    if not hasattr(tqdm, "_lock"):  # its own is a semaphore that killed workers leave behind
        tqdm.set_lock(threading.RLock())
    shown = not are_progress_bars_disabled()
    levels = {name: logging.getLogger(name).level for name in _LOGGERS}
    disable_progress_bars()
    for name in _LOGGERS:
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
        if shown:
            enable_progress_bars()
