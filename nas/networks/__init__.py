"""Torch modules of architectures."""

from nas.networks.build import Network, build, skeleton

__all__ = ["Network", "build", "skeleton"]
