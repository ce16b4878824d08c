"""The cache directory: decoded images, downloads, teachers and their outputs."""

from __future__ import annotations

import os
from pathlib import Path


def cache_dir() -> Path:
    """Return the cache directory, which may not exist yet.

    ``$MINNOW_CACHE``, else ``$XDG_CACHE_HOME/minnow``, else ``~/.cache/minnow``.
    """
    chosen = os.environ.get("MINNOW_CACHE")
    if chosen:
        return Path(chosen).expanduser()
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "minnow"


def in_cache(path: Path) -> bool:
    """Return whether a file belongs to the cache."""
    return path.absolute().is_relative_to(cache_dir().absolute())
