"""The cache directory: decoded images, downloads, teachers and their outputs."""

from __future__ import annotations

import os
from pathlib import Path


def cache_dir() -> Path:
    """Return the cache directory, which may not exist yet.

    ``$MINNOW_CACHE``, else ``$XDG_CACHE_HOME/minnow``, else ``~/.cache/minnow``.

    Raises:
        UserError: it is in a home directory that the system does not know.
    """
    path = _cache_dir()
    if path.parts[:1] and path.parts[0].startswith("~"):
        from core.errors import UserError  # which asks this module what is in the cache

        raise UserError(
            f"the cache should be in {path}, but the system knows no such home directory: set "
            "MINNOW_CACHE to a directory that can be written"
        )
    return path


def in_cache(path: Path) -> bool:
    """Return whether a file belongs to the cache."""
    return path.absolute().is_relative_to(_cache_dir().absolute())


def expanded(path: str | Path) -> Path:
    """Return a path with the home directory for ``~`` or ``~user``, which stays if it is unknown."""
    return Path(os.path.expanduser(path))


def _cache_dir() -> Path:
    chosen = os.environ.get("MINNOW_CACHE")
    if chosen:
        return expanded(chosen)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else expanded("~/.cache")) / "minnow"
