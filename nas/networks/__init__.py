"""From an architecture to a torch module."""

from nas.networks.build import Network, build, skeleton

__all__ = ["Network", "build", "skeleton"]
