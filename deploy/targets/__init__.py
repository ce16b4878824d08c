"""Targets: a runtime at a precision, by name, on this machine or another."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from core.plugins import Registry
from deploy.device.address import Address
from deploy.targets.base import ConvertedModel, Target

if TYPE_CHECKING:
    from deploy.targets.session import Session

DEFAULT = "onnxruntime"

REGISTRY = Registry(
    kind="target",
    group="minnow.targets",
    base=Target,
    builtins={
        "onnxruntime": "deploy.targets.onnx_runtime:OnnxRuntime",
    },
)


def load(name: str) -> type[Target]:
    """Return the target class called ``name``.

    Raises:
        UserError: unknown; lists the known names.
    """
    return REGISTRY.load(name)


def parse(text: str) -> tuple[Target, Address]:
    """Return target and device of ``NAME`` or ``NAME@ssh:[user@]host[:port][/path/of/python3]``.

    Raises:
        UserError: an unknown target, or no device.
    """
    name, at, place = text.partition("@")
    target: Target = load(name)()
    return target, Address.parse(place) if at else Address()


def connect(text: str = DEFAULT) -> Session:
    """Return a target on its device, as :func:`parse` takes it; one connection serves this process.

    Raises:
        UserError: it is no target, or the device, its runtime or a package for converting is missing.
    """
    from deploy.targets.session import Session  # imports torch, which listing targets does not

    return _connected(text, Session)


@cache
def _connected(text: str, session: type[Session]) -> Session:
    return session(*parse(text))


__all__ = ["DEFAULT", "REGISTRY", "ConvertedModel", "Target", "connect", "load", "parse"]
