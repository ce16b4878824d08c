"""A small reference network, whose time tells how fast a device is at the moment.

A core runs slower while others share its caches, its memory or its power, or while it is too hot. The
reference is timed once per device and runtime, for a second; beside every measurement it is timed again,
and the ratio of the two is the slowdown.
"""

from __future__ import annotations

import zipfile
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from io import BytesIO

import torch
from torch import nn

from core.cache import cache_dir
from core.cached_records import damaged, record_digest
from core.files import write_bytes
from deploy.targets.base import ConvertedModel, Target
from deploy.targets.conversion import convert, input_shape
from nas.architecture import classifier
from nas.layers import Conv, InvertedResidualv2
from nas.networks import build

_SIDE, _CLASSES = 96, 10
_BODY = (
    Conv(16, 3, 2),
    InvertedResidualv2(24, 3, 2),
    InvertedResidualv2(24, 3, 1),
    InvertedResidualv2(48, 6, 2, 5),
    InvertedResidualv2(96, 6, 2),
    InvertedResidualv2(96, 6, 1, 5),
    InvertedResidualv2(192, 6, 2),
    InvertedResidualv2(192, 6, 1),
    Conv(640, 1),
)


@cache
def reference_network() -> nn.Module:
    """Return the network, with random weights that are always the same."""
    with torch.random.fork_rng(devices=[]):  # must not shift the weights training draws
        torch.manual_seed(0)
        return build(classifier(_SIDE, _BODY), _CLASSES)


def reference_model(target: Target) -> ConvertedModel:
    """Return the network in the format of a target.

    What a converter of its own process made is kept in ``reference/`` under the user's cache directory.

    Raises:
        UserError: a package for converting is missing, or the cache directory cannot be written.
        ModelError: the converter fails.
    """
    if not target.apart:
        return convert(target, reference_network(), _SIDE)
    subject = {
        "target": f"{type(target).__module__}:{type(target).__qualname__}",
        "torch": torch.__version__,
    }
    subject |= {module: _version(module) for module in target.modules}
    path = cache_dir() / "reference" / f"{record_digest(subject)[:16]}.zip"
    if path.exists():
        try:
            with zipfile.ZipFile(path) as file:  # which checks a CRC
                files = {name: file.read(name) for name in file.namelist()}
            return ConvertedModel(files, input_shape(target, _SIDE))
        except (OSError, zipfile.BadZipFile, RuntimeError) as error:
            damaged(path, str(error))
    model = convert(target, reference_network(), _SIDE)
    content = BytesIO()
    with zipfile.ZipFile(content, "w") as file:
        for name, part in model.files.items():
            file.writestr(name, part)
    write_bytes(path, content.getvalue())
    return model


def _version(module: str) -> str:
    """Return the version of a module's package."""
    try:
        return version(module.replace("_", "-"))
    except PackageNotFoundError:
        return ""
