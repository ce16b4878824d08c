"""The command ``plugins``."""

from __future__ import annotations


def plugins() -> None:
    """List every space, strategy, loss and teacher source."""
    from minnow.plugin_list import list_plugins

    list_plugins()
