"""Targets: a runtime at a precision, by name, on this machine or another, or in a profile.

The text ``pi4.json`` stands for the target and the device that this profile was measured on
(:mod:`deploy.profile_file`): its latencies are predicted, and nothing runs on it.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import UserError
from core.plugins import Registry
from deploy.device.address import Address
from deploy.targets.base import ConvertedModel, Target
from nas.architecture import Architecture

if TYPE_CHECKING:
    from deploy.profile_file import Profile
    from deploy.targets.session import Session

DEFAULT = "onnxruntime"
_PROFILE = ".json"

REGISTRY = Registry(
    kind="target",
    group="minnow.targets",
    base=Target,
    builtins={
        "onnxruntime": "deploy.targets.onnx_runtime:OnnxRuntime",
        "onnxruntime-int8": "deploy.targets.onnx_runtime:OnnxRuntimeInt8",
        "openvino": "deploy.targets.openvino_cpu:OpenVino",
        "openvino-int8": "deploy.targets.openvino_cpu:OpenVinoInt8",
        "litert": "deploy.targets.litert_cpu:LiteRt",
        "litert-int8": "deploy.targets.litert_cpu:LiteRtInt8",
        "ncnn": "deploy.targets.ncnn_cpu:Ncnn",
        "executorch": "deploy.targets.executorch_cpu:ExecuTorch",
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

    NAME is that of a plugin, or ``package.module:Class`` or ``./file.py:Class``.

    Raises:
        UserError: an unknown target, no device, or a profile.
    """
    if is_profile(text):
        raise UserError(
            f"{text} is a profile, and nothing runs on it: give its device, as in {DEFAULT}@ssh:pi@HOST"
        )
    name = plugin_name(text)
    target: Target = load(name)()
    return target, Address() if name == text else Address.parse(text[len(name) + 1 :])


def plugin_name(text: str) -> str:
    """Return a target's name without its device."""
    return text.partition("@")[0]


def is_profile(text: str) -> bool:
    """Tell if a target's text is the path of a profile."""
    return text.lower().endswith(_PROFILE)


def profile_of(text: str) -> Profile | None:
    """Return the profile that a target's text names; ``None`` for a target that measures.

    Raises:
        UserError: the file is missing, damaged or not finished.
    """
    if not is_profile(text):
        return None
    from deploy.profile_file import read_profile  # imports torch, which listing targets does not

    return read_profile(Path(text))


def runtime_target(text: str) -> Target:
    """Return the target of ``NAME``, ``NAME@ssh:...`` or a profile.

    Raises:
        UserError: it is none.
    """
    return parse(runnable(text))[0]


def runnable(text: str) -> str:
    """Return the text of a target that runs networks; a profile stands for its runtime on this machine.

    Raises:
        UserError: the profile is missing, damaged or not finished.
    """
    profile = profile_of(text)
    return text if profile is None else profile.record.target


def check_ready(text: str) -> None:
    """Check that a target's device is there, or that its profile can be used.

    Raises:
        UserError: as of :func:`connect`, or the profile is missing, damaged or not finished.
    """
    if is_profile(text):
        runtime_target(text)
    else:
        connect(text)


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


def names_program(text: str) -> bool:
    """Tell if a target says which program is the Python of its device."""
    return not is_profile(text) and "/" in text[len(plugin_name(text)) :]


def precision(text: str) -> str:
    """Return the precision of a target, ``float32`` or ``int8``.

    Raises:
        UserError: it is no target.
    """
    return runtime_target(text).precision


def safe_name(text: str) -> str:
    """Return a name for a folder of a target."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", text).strip("-.")


def costs_on(text: str, architecture: Architecture, num_classes: int) -> dict[str, float]:
    """Return the costs of a network on a target, see :meth:`Target.costs`.

    Raises:
        UserError: it is no target.
    """
    return runtime_target(text).costs(architecture, num_classes)


__all__ = [
    "DEFAULT",
    "REGISTRY",
    "ConvertedModel",
    "Target",
    "check_ready",
    "connect",
    "costs_on",
    "is_profile",
    "load",
    "names_program",
    "parse",
    "plugin_name",
    "precision",
    "profile_of",
    "runnable",
    "runtime_target",
    "safe_name",
]
