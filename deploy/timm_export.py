"""A student as a timm model: a file that registers it, and the weights under timm's names."""

from __future__ import annotations

import copy
import re
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path
from pprint import pformat
from types import ModuleType
from typing import Any

import torch
from torch import nn

from core.errors import UserError
from core.files import staged_files, write_bytes, write_text
from deploy.device.link import ModelError
from nas.networks.timm_architecture import architecture_from_timm
from nas.networks.timm_arguments import layer_difference, timm_arguments, timm_weights
from training.bundle import Bundle
from training.bundle_files import LABELS_FILE, WEIGHTS_FILE
from training.data.fitting import Fit

NAME = "timm"  # among the targets of an export
PROGRAM = "timm_model.py"
_SOURCE = Path(__file__).with_name("shipped_timm.py")
_PLACE = "MODEL: dict[str, Any] = {}\n"
_CROP_MODES = {"squash": "squash", "crop": "center", "pad": "border"}  # timm's words
_IMAGES, _TOLERANCE = 4, 1e-5  # random images, and the largest difference of logits


@dataclass(frozen=True)
class TimmModel:
    """A student that was written for timm.

    Attributes:
        folder: of its files.
        name: for ``timm.create_model``.
        files: sizes in bytes, by name.
        difference: largest of the logits to the student's on random images, in float64.
    """

    folder: Path
    name: str
    files: dict[str, int]
    difference: float


def write_timm_model(bundle: Bundle, data_name: str, fit: Fit, folder: Path) -> TimmModel:
    """Write a folder with a file that registers a student with timm, its weights and its labels.

    Args:
        bundle: the student.
        data_name: of its images; a part of the model's name.
        fit: of images to squares.
        folder: to write; files of an earlier one are replaced.

    Raises:
        UserError: timm's networks cannot be this student; says where they differ.
        ModelError: timm's network gives other logits; nothing is written.
    """
    try:
        network = timm_arguments(bundle.architecture)
    except ValueError as error:
        raise UserError(f"{NAME}: this student cannot be a timm model: {error}") from None
    name = model_name(data_name, bundle.architecture.key)
    program = _program(name, network, bundle, fit)
    labels = "".join(f"{label}\n" for label in bundle.classes)
    with staged_files(folder, last=PROGRAM) as staged:
        write_text(staged / PROGRAM, program)
        model = _created(staged, name)
        difference = _filled(model, bundle, staged / WEIGHTS_FILE)
        write_text(staged / LABELS_FILE, labels)
        files = {path.name: path.stat().st_size for path in sorted(staged.iterdir())}
    return TimmModel(folder, name, files, difference)


def model_name(data_name: str, key: str) -> str:
    """Return a model's name for timm: ``minnow_photos_1a2b3c4d``."""
    words = re.sub(r"[^a-z0-9]+", "_", data_name.lower()).strip("_")[:40]
    return "_".join(filter(None, ("minnow", words, key[:8])))


def _program(name: str, network: dict[str, Any], bundle: Bundle, fit: Fit) -> str:
    """Return the source of the file that registers the model; its data are literals."""
    side = bundle.architecture.resolution
    config = {
        "num_classes": len(bundle.classes),
        "input_size": (3, side, side),
        "mean": bundle.normalization.mean,
        "std": bundle.normalization.std,
        "interpolation": "bicubic",
        "crop_pct": 1.0,
        "crop_mode": _CROP_MODES[fit],
        "label_names": bundle.classes,
    }
    model = pformat({"name": name, "config": config, "network": network}, width=100, sort_dicts=False)
    before, _, after = _SOURCE.read_text(encoding="utf-8").partition(_PLACE)
    return f"{before}MODEL: dict[str, Any] = {model}\n{after}"


def _created(folder: Path, name: str) -> nn.Module:
    """Return the untrained model as a user gets it: by importing the file."""
    import timm

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # an earlier export registered the name
        _run(folder / PROGRAM)
    with torch.random.fork_rng(devices=[]):
        model: nn.Module = timm.create_model(name)
    return model.eval()


def _run(path: Path) -> None:
    """Run the file as an import does, without leaving compiled code beside it."""
    module = ModuleType("minnow_written_timm_model")
    module.__file__ = str(path)
    sys.modules[module.__name__] = module  # where timm looks for it
    try:
        exec(compile(path.read_text(encoding="utf-8"), str(path), "exec"), module.__dict__)
    finally:
        del sys.modules[module.__name__]


def _filled(model: nn.Module, bundle: Bundle, weights: Path) -> float:
    """Give the model the student's weights, write them, and return the largest difference of logits.

    Raises:
        UserError: it is another network.
        ModelError: its logits differ.
    """
    import timm
    from safetensors.torch import save

    own = bundle.architecture
    built = architecture_from_timm(model, own.base or NAME, own.resolution)
    if (difference := layer_difference(own, built)) is not None:
        raise UserError(f"{NAME}: this student cannot be a timm model: {difference}")
    write_bytes(weights, save(timm_weights(bundle.model.state_dict(), own, model.state_dict())))
    timm.models.load_checkpoint(model, str(weights))
    shape = (_IMAGES, own.input_channels, own.resolution, own.resolution)
    # In float64 only the networks can differ, and not the order of sums.
    images = torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    with torch.no_grad():
        expected = copy.deepcopy(bundle.model).double()(images)
        largest = float((model.double()(images) - expected).abs().max())
    if not largest <= _TOLERANCE:
        raise ModelError(f"{NAME}: its logits differ by {largest:.1g}; nothing was written")
    return largest
